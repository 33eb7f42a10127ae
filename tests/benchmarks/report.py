"""The result of the benchmarks as a file, as lines for a terminal and as a table in Markdown."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Figure, Found, Target

WIDTH = 120
_HEAD = ("figure", "target", "median", "min .. max", "verdict")


def empty() -> dict[str, Any]:
    """{figure: median, "spread": {figure: {min, median, max, rounds, floors, target, verdict}},
    "details": {name: {min, median, max}}, "notes": {part: [line]}, "cores": n}, without figures."""
    return {"spread": {}, "details": {}, "notes": {}, "cores": os.cpu_count()}


def add(document: dict[str, Any], part: str, found: Found, targets: Mapping[str, Target]) -> None:
    """What the part found, in place of what it found before."""
    for key, figure in found.figures.items():
        document["spread"][key] = _spread(figure, targets.get(key))
        document[key] = document["spread"][key]["median"]
    for name, rounds in found.details.items():
        document["details"][name] = _limits(Figure(rounds))
    document["notes"][part] = list(found.notes)


def _spread(figure: Figure, target: Target | None) -> dict[str, Any]:
    return {
        **_limits(figure),
        "rounds": [_rounded(value) for value in figure.rounds],
        "floors": [_rounded(value) for value in figure.floors],
        "target": str(target) if target else "",
        "verdict": figure.verdict(target) if target else "",
    }


def _limits(figure: Figure) -> dict[str, float]:
    least, median, most = figure.spread
    return {"min": _rounded(least), "median": _rounded(median), "max": _rounded(most)}


def _rounded(value: float) -> float:
    return round(value, 3)


def write(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")


def read(path: Path) -> dict[str, Any]:
    """The document that `write` wrote; without figures if an older version wrote it."""
    document: dict[str, Any] = json.loads(path.read_text())
    return document if document.keys() >= empty().keys() else empty()


def as_lines(document: Mapping[str, Any]) -> list[str]:
    """The table, the details and the notes, at most `WIDTH` characters wide."""
    rows = [_HEAD, *_rows(document)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    details = [f"{name} {_shown(facts['median'])}" for name, facts in document["details"].items()]
    texts = ["besides (medians): " + ", ".join(details)] if details else []
    for text in [*texts, *_notes(document)]:
        lines += ["", *textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)]
    return lines


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, target, median, spread, verdict = row
    cells = (
        name.ljust(widths[0]),
        target.rjust(widths[1]),
        median.rjust(widths[2]),
        spread.rjust(widths[3]),
        verdict,
    )
    return "  ".join(cells).rstrip()


def _rows(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    for key, facts in document["spread"].items():
        spread = f"{_shown(facts['min'])} .. {_shown(facts['max'])}"
        yield key, facts["target"], _shown(facts["median"]), spread, facts["verdict"]


def _shown(value: float) -> str:
    """With three digits that count, and no digit after the point from 100 on."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def as_markdown(document: Mapping[str, Any]) -> list[str]:
    """The table for docs/benchmarks.md, and below it the details."""
    lines = ["| figure | target | median | min to max | verdict |", "|---|---|---|---|---|"]
    lines += [
        f"| `{key}` | {target} | {median} | {spread.replace(' .. ', ' to ')} | {verdict} |"
        for key, target, median, spread, verdict in _rows(document)
    ]
    details = [f"`{name}` {_shown(facts['median'])}" for name, facts in document["details"].items()]
    if details:
        lines += ["", *textwrap.wrap("Besides, as medians: " + ", ".join(details) + ".", WIDTH)]
    for note in _notes(document):
        lines += ["", *textwrap.wrap(note, WIDTH, break_on_hyphens=False)]
    return lines


def _notes(document: Mapping[str, Any]) -> list[str]:
    return [line for lines in document["notes"].values() for line in lines]
