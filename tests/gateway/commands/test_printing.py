"""What the sub-commands print, on a terminal and elsewhere."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich.text import Text

from gateway.commands import printing

JOB = "job_01M81JHAW84EGFGT4ZRK7P4HYT"
AT = "2026-11-22T07:54:52.007Z"
LONG = "the outcome of the submission has been unknown for longer than its owner wants to wait"
ROW = {"id": JOB, "phase": "failed", "created_at": AT, "finished_at": AT, "text": LONG, "epoch": 1}
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


class Output(io.TextIOWrapper):
    """Standard output: a terminal of 80 columns or a file."""

    def __init__(self, *, terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    @property
    def text(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def printed(
    monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, object]], *, terminal: bool, **options: str
) -> str:
    out = Output(terminal=terminal, **options)
    monkeypatch.setattr(sys, "stdout", out)
    columns = ("id", "phase", "created_at", "finished_at")
    printing.show(printing.rows(rows, columns, rest="text"))
    return out.text


def test_a_row_is_one_whole_line_where_no_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    head, *lines = printed(monkeypatch, [ROW, ROW], terminal=False).splitlines()
    assert head.split() == ["id", "phase", "created_at", "finished_at", "text"]
    assert lines == [f"{JOB}  failed  {AT}  {AT}  {LONG} (epoch 1)"] * 2


def test_on_a_narrow_terminal_an_entry_takes_several_lines_and_no_word_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = _STYLE.sub("", printed(monkeypatch, [ROW], terminal=True)).splitlines()
    assert max(map(len, shown)) <= 80
    assert shown[0] == JOB
    assert shown[1] == f"    phase failed  created_at {AT}"
    assert shown[2] == f"    finished_at {AT}"
    assert " ".join(" ".join(shown[3:]).split()) == f"text {LONG} (epoch 1)"


def test_the_last_column_is_wrapped_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Output(terminal=True))
    lines = [line.plain for line in printing.table(("at", "text"), [(AT, LONG)])]
    assert len(lines) == 3
    assert max(map(len, lines)) <= 80
    assert " ".join(" ".join(lines[1:]).split()) == f"{AT} {LONG}"
    assert lines[2].startswith(" " * (len(AT) + 2))


def test_wide_characters_are_counted_as_two_columns() -> None:
    lines = [line.plain for line in printing.table(("name", "x"), [("日本", "1"), ("four", "1")], 80)]
    assert lines == ["name  x", "日本  1", "four  1"]


@pytest.mark.parametrize("text", ["[red]x[/red]", "http://[fe80::1]:9/hook", ":smile:", "[/]"])
def test_a_text_is_no_markup(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert text in printed(monkeypatch, [{"id": JOB, "text": text}], terminal=True)


def test_a_text_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed(
        monkeypatch, [{"id": JOB, "text": "\x1b[2J\x9b1m \r over \u202e right\nid"}], terminal=False
    )
    assert r"\x1b[2J\x9b1m \r over \u202e right\nid" in shown
    assert len(shown.splitlines()) == 2


def test_a_value_that_the_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Output(terminal=False, encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", Output(terminal=False, encoding="latin-1"))
    printing.prepare_streams()
    printing.show(printing.fields({"title": "Zürich 日本"}))
    assert out.text == "title  Zürich \\u65e5\\u672c\n"


@pytest.mark.parametrize(("terminal", "no_color", "styled"), [(True, "", 1), (True, "1", 0), (False, "", 0)])
def test_only_a_terminal_gets_colours_and_only_if_it_wants_them(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, no_color: str, styled: int
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    out = Output(terminal=terminal)
    monkeypatch.setattr(sys, "stdout", out)
    printing.show(printing.table(("", "check"), [(Text("ERROR", "bold red"), "redis")]))
    assert bool(_STYLE.search(out.text)) == bool(styled)
    assert "ERROR  redis" in _STYLE.sub("", out.text)


def test_fields_are_lined_up_and_a_long_word_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Output(terminal=True))
    lines = [
        line.plain for line in printing.fields({"id": JOB, "url": f"see http://x/{'y' * 90}", "none": None})
    ]
    assert lines == [f"id    {JOB}", "url   see", f"      http://x/{'y' * 90}", "none  -"]
