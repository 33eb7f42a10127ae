"""Each script says at its top what it does, what it is given and what it answers, and names the arguments."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.store import script_runner

_VERBS = sorted(script_runner.linked_scripts())


def _read(verb: str) -> tuple[list[str], list[str]]:
    """The lines of the header, and those of the body."""
    lines = Path(str(script_runner._FOLDER / f"{verb}.lua")).read_text().splitlines()
    end = next(at for at, line in enumerate(lines) if not line.startswith("--"))
    return lines[:end], lines[end:]


@pytest.mark.parametrize("verb", _VERBS)
def test_a_script_says_what_it_does_what_it_is_given_and_what_it_answers(verb: str) -> None:
    header, _ = _read(verb)
    assert re.match(rf"-- {verb}: \w.*\.$", header[0])
    for begins in ("-- KEYS  ", "-- ARGV  ", "-- Returns "):
        assert sum(line.startswith(begins) for line in header) == 1, begins


@pytest.mark.parametrize("verb", _VERBS)
def test_a_script_that_counts_bytes_also_writes_how_many(verb: str) -> None:
    source = script_runner.linked_scripts()[verb].source
    counts, writes = (
        f"local function {name}(".encode() in source for name in ("count_bytes", "write_counted_bytes")
    )
    assert counts == writes


def test_no_line_of_a_script_has_more_than_120_characters() -> None:
    long = [
        f"{path.name}:{number}"
        for path in sorted(Path(str(script_runner._FOLDER)).rglob("*.lua"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 120
    ]
    assert long == []


@pytest.mark.parametrize("verb", _VERBS)
def test_keys_and_arguments_are_given_names_before_anything_is_done(verb: str) -> None:
    _, body = _read(verb)
    names = re.compile(r"local [\w, ]+ = .*\b(?:KEYS|ARGV)\b")
    first = next((at for at, line in enumerate(body) if not names.match(line)), len(body))
    assert not [line for line in body[first:] if re.search(r"\b(?:KEYS|ARGV)\b", line)]
