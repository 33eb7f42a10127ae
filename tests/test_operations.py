"""The operations guide names every warning in the log and every ops event, and no log event that is gone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "operations.md").read_text()
MODULES = [
    path
    for folder in ("gateway", "workers")
    for path in (ROOT / folder).rglob("*.py")
    if "sandbox" not in path.relative_to(ROOT).parts
]
SCRIPTS = list((ROOT / "gateway" / "store" / "scripts").rglob("*.lua"))
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
GRAVE = {"warning", "error", "exception", "critical"}
NAME = re.compile(r"`([a-z_]+)`")
#: As in: log `one`, `other`
LOGGED = re.compile(r"\b[Ll]og ((?:`[a-z_]+`(?:,\s+)?)+)")
OPS_EVENTS = GUIDE.partition("\n## Ops events\n")[2].partition("\n## ")[0]
TOLD = re.compile(r"""(?:ops_event\(now, |\blog_and_audit\()'([a-z_]+)'|\bAuditEntry\(\s*"([a-z_]+)\"""")


def logged(path: Path) -> Iterator[tuple[str, str]]:
    """(level, event) of every call of a logger, and of both ends of every outage."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        texts = [
            arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
        ]
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in LEVELS and _is_logger(function.value):
            yield from ((function.attr, text) for text in texts[:1])
        elif isinstance(function, ast.Name) and function.id == "Outage":
            gone, back = texts
            yield from (("warning", gone), ("info", back))


def _is_logger(node: ast.expr) -> bool:
    """`log` by our convention, or `structlog.get_logger()`."""
    text = ast.unparse(node)
    return text in ("log", "logger", "self._log") or text.startswith("_log(") or "get_logger()" in text


@pytest.fixture(scope="module")
def events() -> set[tuple[str, str]]:
    """All that is logged, as `logged` says it."""
    return {event for path in MODULES for event in logged(path)}


@pytest.fixture(scope="module")
def kinds() -> set[str]:
    """Of all ops events."""
    texts = [path.read_text() for path in (*MODULES, *SCRIPTS)]
    return {kind for text in texts for found in TOLD.findall(text) for kind in found if kind}


def test_the_guide_names_every_warning_and_error(events: set[tuple[str, str]]) -> None:
    assert [event for level, event in sorted(events) if level in GRAVE and f"`{event}`" not in GUIDE] == []


def test_the_guide_explains_every_ops_event(kinds: set[str]) -> None:
    assert [kind for kind in sorted(kinds) if f"`{kind}`" not in OPS_EVENTS] == []


def test_every_log_event_that_the_guide_names_exists(events: set[tuple[str, str]]) -> None:
    named = {name for row in LOGGED.findall(GUIDE) for name in NAME.findall(row)}
    assert named >= {"account_refused", "work_failed"}
    assert named - {event for _, event in events} == set()


def test_the_search_finds_what_is_there(events: set[tuple[str, str]], kinds: set[str]) -> None:
    assert {
        *(("error", "account_refused"), ("exception", "work_failed"), ("warning", "callback_out_of_place")),
        *(("warning", "callback_path_shut"), ("info", "callback_path_open"), ("info", "gateway_ready")),
    } <= events
    assert {
        *("account_parked", "account_resumed", "job_resolved", "key_made", "rollback_seen"),
        *("task_claimed_twice", "task_taken_back", "tenant_changed"),
    } <= kinds
