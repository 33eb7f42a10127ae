"""Reads a task from an upstream body, and decides which of the two body formats it has.

    Vtrix  {"id", "status", "progress"?, "output"?, "usage"?, "error"?, "metadata"?}
    Vidu   {"id", "state", "err_code"?, "credits"?, "payload"?, "creations"?}

A callback may have either format, whatever the dialect: other providers use Vidu and may forward its
callbacks unchanged. No function here raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from gateway import strict_json
from gateway.errors import MalformedBody, Notice
from gateway.upstream.answers import (
    read_failure,
    read_progress,
    read_reason,
    read_reference,
    read_refusal,
    read_retry_after,
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
from gateway.upstream.results import read_result, shows_video
from gateway.upstream.status_words import status_of

#: Statuses that refuse the account: every other request would be refused as well.
ACCOUNT_STATUSES = frozenset({401, 402, 403})
_BESIDE = "the upstream says that the task is completed, but also gave an error:"
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
    """The decoded body, safe to store; None if it is not JSON, or JSON with two meanings."""
    try:
        return read_storable(_unwrapped(strict_json.loads(body)))
    except MalformedBody:
        return None


def decode_paid(body: bytes) -> object:
    """As `decode`, but of JSON with two meanings it takes the usual one: the task is paid for. Two different
    ids are none."""
    if (document := decode(body)) is not None:
        return document
    try:
        return read_storable(_unwrapped(strict_json.salvage(body, unique=("id", "task_id"))))
    except MalformedBody:
        return None


def _unwrapped(document: object) -> object:
    """The document with the fields of its `data`, if the task or the list is in there."""
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(data, dict):
        return document
    if read_task_id(document) or read_status_word(document) or "tasks" in document:
        return document
    wrapped = "task_id" in data or "tasks" in data or (read_task_id(data) and read_status_word(data))
    return document | data if wrapped else document


def read_snapshot(document: object) -> Snapshot | None:
    """The task in the body, whichever format it has; None if the body has no status, for other fields are no
    proof of a state.

    The `task_id` is "" if the body names none.
    """
    if not isinstance(document, dict):
        return None
    word = read_status_word(document)
    if not word:
        return None
    task_id, other_id = read_task_id(document) or "", read_task_id({"id": document.get("task_id")}) or ""
    output, warnings = read_result(document)
    failure, known = read_failure(document), status_of(word)
    status = _status(known, failure, done=shows_video(output))
    error = failure
    if status in (TaskStatus.FAILED, TaskStatus.CANCELED):
        error = failure or read_reason(document, word)
    elif known is not None:
        error = None
    if failure and status is TaskStatus.COMPLETED:
        warnings.append(Notice("output", "output_with_error", f"{_BESIDE} {failure.code}: {failure.message}"))
    return Snapshot(
        task_id=task_id,
        other_id=other_id if other_id != task_id else "",
        status=status,
        raw_status=word,
        progress=read_progress(document.get("progress")),
        output=output,
        usage=read_usage(document.get("usage")),
        metadata=_read_metadata(document),
        error=error,
        reference=read_reference(document),
        understood=known is not None,
        warnings=tuple(warnings),
    )


def _status(known: TaskStatus | None, failure: UpstreamError | None, *, done: bool) -> TaskStatus:
    """A word that nobody knows counts as in progress. A task that completed with an error has failed, unless
    it shows a video: that was paid for."""
    if known not in (TaskStatus.COMPLETED, TaskStatus.FAILED):
        return known or TaskStatus.IN_PROGRESS
    if known is TaskStatus.COMPLETED and (done or failure is None):
        return known
    return TaskStatus.CANCELED if failure and failure.code in _CANCEL_CODES else TaskStatus.FAILED


def _read_metadata(document: Mapping[str, object]) -> dict[str, object] | None:
    """Vidu's credits are not a price in USD, so they are metadata, not usage."""
    metadata, credits_ = document.get("metadata"), document.get("credits")
    if isinstance(metadata, dict):
        return metadata
    has_credits = isinstance(credits_, int | float) and not isinstance(credits_, bool)
    return {"credits": credits_} if has_credits else None


def with_a_video(snapshot: Snapshot) -> Snapshot | None:
    """The task as completed, if it shows a video under a status that nobody knows. Only for a job that would
    be given up: the video may be paid for."""
    if snapshot.understood or not shows_video(snapshot.output):
        return None
    word = snapshot.raw_status
    unsure = Notice("output", "output_status_unknown", f'comes from a task with the unknown status "{word}"')
    return replace(snapshot, status=TaskStatus.COMPLETED, warnings=[*snapshot.warnings, unsure])


def initial_snapshot(document: object) -> Snapshot | None:
    """The task in the answer to a create request; None if the answer only says that the task exists."""
    snapshot = read_snapshot(document)
    if snapshot is None:
        return None
    says_more = snapshot.status is not TaskStatus.IN_PROGRESS or snapshot.progress is not None
    return snapshot if says_more else None


def read_poll(status: int, headers: Mapping[str, str], body: bytes) -> QueryOutcome:
    """The outcome of a poll. Header names are in lower case."""
    document = decode_paid(body)
    if 200 <= status < 300:
        snapshot = read_snapshot(document)
        if snapshot is not None:
            return Found(snapshot)
        return Inconclusive(f"{status} without a task's status", unreadable=True)
    return Missing() if status == 404 else inconclusive(status, headers, document)


def inconclusive(status: int, headers: Mapping[str, str], document: object) -> Inconclusive:
    """The outcome of a repeatable request that was answered with an error: only the reason is known."""
    message = read_refusal(status, document).message
    if status in ACCOUNT_STATUSES:
        return Inconclusive(f"the account was refused with {status}: {message}", read_retry_after(headers))
    return Inconclusive(f"{status}: {message}", read_retry_after(headers))


def read_callback(native: BodyFormat, body: bytes) -> Hint:
    """What a callback reports. A body that fits both formats counts as `native`."""
    document = decode_paid(body)
    if not isinstance(document, dict):
        return Hint()
    word = read_status_word(document)
    if not word and _TASK_KEYS.isdisjoint(document):
        return Hint()
    body_format = _format_of(document, word.lower()) or native
    snapshot = read_snapshot(document)
    final = snapshot is not None and snapshot.status is not TaskStatus.IN_PROGRESS
    return Hint(
        task_id=read_task_id(document),
        status=snapshot.status if snapshot and snapshot.understood else None,
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
