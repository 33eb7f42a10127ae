"""Reads a task from an upstream body, and decides which of the two body formats it has.

    Vtrix  {"id", "status", "progress"?, "output"?, "usage"?, "error"?, "metadata"?}
    Vidu   {"id", "state", "err_code"?, "credits"?, "payload"?, "creations"?}

A callback may have either format, whatever the dialect: other providers use Vidu and may forward its
callbacks unchanged. No function here raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from gateway import strict_json
from gateway.errors import MalformedBody
from gateway.upstream.answers import (
    FALLBACK_CODE,
    NO_REASON,
    read_code,
    read_error,
    read_output,
    read_progress,
    read_reference,
    read_refusal,
    read_retry_after,
    read_status,
    read_status_word,
    read_storable,
    read_task_id,
    read_usage,
)
from gateway.upstream.base import (
    Found,
    Hint,
    Inconclusive,
    Missing,
    QueryOutcome,
    Snapshot,
    TaskStatus,
    UpstreamError,
)

#: Statuses that refuse the account: every other request would be refused as well.
ACCOUNT_STATUSES = frozenset({401, 402, 403})
_ONLY_A_CODE = "the upstream gave no reason but its code"
_CANCEL_CODES = frozenset({"UserCancelled", "Canceled"})
#: Keys and status words that only one of the formats has. `status` alone proves nothing: Vidu documents both
#: `state` and `status` for its callbacks.
_VIDU_KEYS = frozenset({"creations", "state", "err_code", "credits"})
_VIDU_WORDS = frozenset({"created", "queueing", "processing", "success"})
_VTRIX_KEYS = frozenset({"output", "usage", "error", "progress"})
_VTRIX_WORDS = frozenset({"in_progress", "completed"})
#: A body without a status still describes a task if it has one of these.
_TASK_KEYS = _VIDU_KEYS | {"output"}


class BodyFormat(StrEnum):
    """Which system's format a body has."""

    VTRIX = "vtrix"
    VIDU = "vidu"


def decode(body: bytes) -> object:
    """The decoded body, safe to store; None if it is not JSON."""
    try:
        return read_storable(strict_json.loads(body))
    except MalformedBody:
        return None


def read_snapshot(body_format: BodyFormat, document: object) -> Snapshot | None:
    """The task in the body; None if the body has no status, for other fields are no proof of a state.

    The `task_id` is "" if the body names none.
    """
    if not isinstance(document, dict):
        return None
    word = read_status_word(document)
    return _READERS[body_format](document, word) if word else None


def _vtrix_snapshot(document: Mapping[str, object], word: str) -> Snapshot:
    error = read_error(document.get("error"))
    status = read_status(word, error)
    metadata = document.get("metadata")
    failed = status is TaskStatus.FAILED
    return Snapshot(
        task_id=read_task_id(document) or "",
        status=status,
        raw_status=word,
        progress=read_progress(document.get("progress")),
        output=read_output(document.get("output")),
        usage=read_usage(document.get("usage")),
        metadata=metadata if isinstance(metadata, dict) else None,
        error=(error or UpstreamError(FALLBACK_CODE, NO_REASON)) if failed else None,
        reference=read_reference(document),
    )


def _vidu_snapshot(document: Mapping[str, object], word: str) -> Snapshot:
    """Credits are not a price in USD, so they go into `metadata`, not into `usage`."""
    code = read_code(document.get("err_code"))
    code = "" if code == "0" else code
    status = _vidu_status(word, code)
    unsuccessful = status in (TaskStatus.FAILED, TaskStatus.CANCELED)
    error = UpstreamError(code, _ONLY_A_CODE) if code else UpstreamError(FALLBACK_CODE, NO_REASON)
    credits_ = document.get("credits")
    has_credits = isinstance(credits_, int | float) and not isinstance(credits_, bool)
    return Snapshot(
        task_id=read_task_id(document) or "",
        status=status,
        raw_status=word,
        output=read_output({"content": document.get("creations")}),
        metadata={"credits": credits_} if has_credits else None,
        error=error if unsuccessful else None,
        reference=read_reference(document),
    )


def _vidu_status(word: str, code: str) -> TaskStatus:
    """An unknown word counts as in progress. A task that succeeded *with* an error has failed."""
    known = word.lower()
    if known not in ("success", "failed"):
        return TaskStatus.IN_PROGRESS
    if code in _CANCEL_CODES:
        return TaskStatus.CANCELED
    return TaskStatus.COMPLETED if known == "success" and not code else TaskStatus.FAILED


_READERS: dict[BodyFormat, Callable[[Mapping[str, object], str], Snapshot]] = {
    BodyFormat.VTRIX: _vtrix_snapshot,
    BodyFormat.VIDU: _vidu_snapshot,
}


def initial_snapshot(body_format: BodyFormat, document: object) -> Snapshot | None:
    """The task in the answer to a create request; None if the answer only says that the task exists."""
    snapshot = read_snapshot(body_format, document)
    if snapshot is None:
        return None
    says_more = snapshot.status is not TaskStatus.IN_PROGRESS or snapshot.progress is not None
    return snapshot if says_more else None


def read_poll(body_format: BodyFormat, status: int, headers: Mapping[str, str], body: bytes) -> QueryOutcome:
    """The outcome of a poll. Header names are in lower case."""
    document = decode(body)
    if 200 <= status < 300:
        snapshot = read_snapshot(body_format, document)
        return Found(snapshot) if snapshot else Inconclusive(f"{status} without a task's status")
    return Missing() if status == 404 else inconclusive(status, headers, document)


def inconclusive(status: int, headers: Mapping[str, str], document: object) -> Inconclusive:
    """The outcome of a repeatable request that was answered with an error: only the reason is known."""
    message = read_refusal(status, document).message
    if status in ACCOUNT_STATUSES:
        return Inconclusive(f"the account was refused with {status}: {message}", read_retry_after(headers))
    return Inconclusive(f"{status}: {message}", read_retry_after(headers))


def read_callback(native: BodyFormat, body: bytes) -> Hint:
    """What a callback claims. A body that fits both formats counts as `native`."""
    document = decode(body)
    if not isinstance(document, dict):
        return Hint()
    word = read_status_word(document)
    if not word and _TASK_KEYS.isdisjoint(document):
        return Hint()
    body_format = _format_of(document, word.lower()) or native
    snapshot = read_snapshot(body_format, document)
    final = snapshot is not None and snapshot.status is not TaskStatus.IN_PROGRESS
    return Hint(
        task_id=read_task_id(document),
        status=snapshot.status if snapshot else None,
        foreign=body_format is not native,
        snapshot=snapshot if final else None,
    )


def _format_of(document: Mapping[str, object], word: str) -> BodyFormat | None:
    """The format of the body; None if it fits both. Vidu's signs are checked first: Vtrix may wrap a Vidu
    body in its own fields, but Vidu never wraps a Vtrix body."""
    if word in _VIDU_WORDS or not _VIDU_KEYS.isdisjoint(document):
        return BodyFormat.VIDU
    if word in _VTRIX_WORDS or not _VTRIX_KEYS.isdisjoint(document):
        return BodyFormat.VTRIX
    return None
