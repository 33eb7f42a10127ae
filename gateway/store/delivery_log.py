"""The log of a delivery's attempts, as its record keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from gateway import urls
from gateway.endpoints import Delivery

#: What an entry usually says. It is not stored, because a delivered webhook is kept for as long as its job.
_USUAL: Final[Mapping[str, Any]] = {
    "retried": False,
    "response_headers": {},
    "excerpt": "",
    "hint": None,
    "next_attempt_at": None,
}
_MISSING: Final = object()


def dump(log: Sequence[Mapping[str, Any]]) -> str:
    lean = [
        {name: value for name, value in entry.items() if value != _USUAL.get(name, _MISSING)} for entry in log
    ]
    return orjson.dumps(lean).decode()


def joined(older: str, newer: str | None) -> str:
    """Two stored logs as one."""
    return older if newer is None else orjson.dumps([*orjson.loads(older), *orjson.loads(newer)]).decode()


def load(text: str) -> list[dict[str, Any]]:
    return [{**_USUAL, **entry} for entry in orjson.loads(text)]


def last_error(delivery: Delivery) -> tuple[str, str]:
    """The error of the last attempt in a few words, and where it went, without path and query, which may hold
    secrets."""
    last = delivery.log[-1] if delivery.log else {}
    status = last.get("status")
    error = f"HTTP {status}" if status else str(last.get("outcome", "")).replace("_", " ")
    return error, urls.origin_of(last.get("url") or delivery.url or "")
