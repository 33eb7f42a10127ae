"""Prints what the sub-commands found, in one style: tables, fields, messages and JSON.

On a terminal, the last column of a table is wrapped between words; a table that is still too wide is printed
entry by entry. Elsewhere nothing is wrapped or coloured. No word is ever cut, so ids, times and URLs can be
copied. Texts of tenants and servers cannot control the terminal.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rich.console import Console
    from rich.text import Text

    Lines: TypeAlias = "list[Text]"

_GAP: Final = 2
_INDENT: Final = 4
_MIN_TEXT_WIDTH: Final = 24


def prepare_streams() -> None:
    """Lets characters that the output's encoding lacks be printed as escapes instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def console(*, stderr: bool = False) -> Console:
    """A console that prints texts as they are: it interprets no markup, and colours only a terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        force_terminal=stream.isatty(),
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        markup=False,
        emoji=False,
        highlight=False,
    )


def show(lines: Iterable[Text], *, stderr: bool = False) -> None:
    target = console(stderr=stderr)
    for line in lines:
        target.print(line, soft_wrap=True)


def say(text: str, style: str = "", *, stderr: bool = False) -> None:
    """Print a message."""
    from rich.text import Text

    show([Text(plain(line), style) for line in text.split("\n")], stderr=stderr)


def show_json(found: object) -> None:
    """Print one line of JSON, in ASCII."""
    print(json.dumps(found))  # noqa: T201


def show_result(
    found: Mapping[str, Any], as_json: bool, people: Callable[[Mapping[str, Any]], Lines | str]
) -> None:
    """Print it as JSON, or as the lines or the message that `people` makes of it."""
    if as_json:
        show_json(found)
    elif isinstance(lines := people(found), str):
        say(lines)
    else:
        show(lines)


def blocks(*groups: Lines) -> Lines:
    """The lines of all groups, with an empty line between groups."""
    from rich.text import Text

    return [line for group in groups for line in (Text(), *group)][1:]


def plain(value: object) -> str:
    """The value as text without control characters: `-` for None."""
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    text = "-" if value is None else f"{value}"
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def rows(
    data: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str = "none", rest: str = ""
) -> Lines:
    """A table of these fields. `rest`: the last column, to which all other fields are added."""
    from rich.text import Text

    if not data:
        return [Text(empty)]
    shown = [*columns, *([rest] if rest else [])]
    return table(shown, [[_with_rest(row, name, shown, rest) for name in shown] for row in data])


def _with_rest(row: Mapping[str, Any], name: str, columns: Sequence[str], rest: str) -> object:
    if name != rest:
        return row.get(name)
    others = [
        f"{key} {plain(value)}" for key, value in row.items() if key not in columns and value is not None
    ]
    text = row.get(name)
    return f"{text} ({', '.join(others)})" if text and others else text or ", ".join(others)


def table(headings: Sequence[str], data: Sequence[Sequence[object]], width: int | None = None) -> Lines:
    """The lines of a table. A cell is a value, or a Text with a style. `width`: of the terminal."""
    width = width or _terminal_width()
    head = [_cell(name, "bold") for name in headings]
    cells = [head, *([_cell(value) for value in row] for row in data)]
    widths = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=True)]
    left = sum(widths[:-1]) + _GAP * (len(widths) - 1)
    if width is None or left + widths[-1] <= width:
        return [_joined(row, widths) for row in cells]
    room = width - left
    if room < max(_MIN_TEXT_WIDTH, *(_longest_word(row[-1]) for row in cells)):
        return [line for row in cells[1:] for line in _entry(headings, row, width)]
    lines = []
    for row in cells:
        first, *more = _wrapped(row[-1], room)
        lines += [_joined([*row[:-1], first], widths), *(_indented(line, left) for line in more)]
    return lines


def fields(pairs: Mapping[str, object]) -> Lines:
    """A line for each name and value; a value that does not fit is wrapped between words."""
    width = _terminal_width()
    names = [_cell(name, "dim") for name in pairs]
    left = max(name.cell_len for name in names) + _GAP
    lines = []
    for name, value in zip(names, pairs.values(), strict=True):
        first, *more = _wrapped(_cell(value), width and width - left)
        lines += [_joined([name, first], [left - _GAP, 0]), *(_indented(line, left) for line in more)]
    return lines


def _terminal_width() -> int | None:
    return console().width if sys.stdout.isatty() else None


def _cell(value: object, style: str = "") -> Text:
    from rich.text import Text

    return Text(plain(value.plain), value.style) if isinstance(value, Text) else Text(plain(value), style)


def _longest_word(text: Text) -> int:
    return max((word.cell_len for word in text.split(" ")), default=0)


def _wrapped(text: Text, width: int | None) -> Lines:
    """The text in lines of at most this width. A longer word gets a line of its own."""
    from rich.text import Text

    lines = [Text("", text.style)]
    for word in text.split(" "):
        if lines[-1] and width is not None and lines[-1].cell_len + 1 + word.cell_len > width:
            lines.append(Text("", text.style))
        lines[-1] += Text(" ") + word if lines[-1] else word
    return lines


def _joined(row: Sequence[Text], widths: Sequence[int]) -> Text:
    line = row[0].blank_copy()
    line.style = ""
    for cell, width in zip(row, widths, strict=True):
        line.append_text(cell)
        line.append(" " * (max(0, width - cell.cell_len) + _GAP))
    line.rstrip()
    return line


def _indented(line: Text, columns: int) -> Text:
    from rich.text import Text

    return Text(" " * columns) + line


def _entry(headings: Sequence[str], row: Sequence[Text], width: int) -> Lines:
    """An entry of a table that is too wide: its first cell, and below it the others with their names."""
    from rich.text import Text

    lines = [row[0]]
    line = Text()
    for name, cell in zip(headings[1:], row[1:], strict=True):
        if cell.plain in ("-", ""):
            continue
        pair = _cell(name, "dim") + Text(" ") + cell
        if line and line.cell_len + _GAP + pair.cell_len > width - _INDENT:
            lines.append(_indented(line, _INDENT))
            line = Text()
        first, *more = _wrapped(pair, width - _INDENT)
        line += Text(" " * _GAP) + first if line else first
        if more:
            lines += [_indented(one, _INDENT) for one in (line, *more)]
            line = Text()
    return [*lines, *([_indented(line, _INDENT)] if line else [])]
