"""A task as the upstream's bodies show it, and which of two systems wrote a body.

    Vtrix  {"id", "status", "progress"?, "output"?, "usage"?, "error"?, "metadata"?}
    Vidu   {"id", "state", "err_code"?, "credits"?, "payload"?, "creations"?}

A callback may come in the words of either, whatever the dialect: Vidu stands behind other providers,
which may merely pass its callbacks on. No function here raises.
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
    Later,
    Missing,
    QueryOutcome,
    Snapshot,
    TaskStatus,
    UpstreamError,
)

#: Refusals of the account: every other request would be refused alike.
ACCOUNT_STATUSES = frozenset({401, 402, 403})
_ONLY_A_CODE = "the upstream gave no reason but its code"
_CANCEL_CODES = frozenset({"UserCancelled", "Canceled"})
#: Keys and words that only one of the two has. Vidu documents its callbacks' word as `state` and as `status`.
_VIDU_KEYS = frozenset({"creations", "state", "err_code", "credits"})
_VIDU_WORDS = frozenset({"created", "queueing", "processing", "success"})
_VTRIX_KEYS = frozenset({"output", "usage", "error", "progress"})
_VTRIX_WORDS = frozenset({"in_progress", "completed"})
#: A body that names no status is a task's all the same when it has one of these.
_TELLING_KEYS = _VIDU_KEYS | {"output"}


class System(StrEnum):
    """Whose words a body is in."""

    VTRIX = "vtrix"
    VIDU = "vidu"


def decode(body: bytes) -> object:
    """None when it is not JSON."""
    try:
        return read_storable(strict_json.loads(body))
    except MalformedBody:
        return None


def read_snapshot(system: System, document: object) -> Snapshot | None:
    """None when it tells no status: nothing is inferred from the presence of other fields. The
    `task_id` is "" when the body names none."""
    if not isinstance(document, dict):
        return None
    word = read_status_word(document)
    return _READERS[system](document, word) if word else None


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
    """Credits are no price: they stand in the metadata."""
    code = read_code(document.get("err_code"))
    code = "" if code == "0" else code
    status = _vidu_status(word, code)
    over = status in (TaskStatus.FAILED, TaskStatus.CANCELED)
    error = UpstreamError(code, _ONLY_A_CODE) if code else UpstreamError(FALLBACK_CODE, NO_REASON)
    credits_ = document.get("credits")
    told = isinstance(credits_, int | float) and not isinstance(credits_, bool)
    return Snapshot(
        task_id=read_task_id(document) or "",
        status=status,
        raw_status=word,
        output=read_output({"content": document.get("creations")}),
        metadata={"credits": credits_} if told else None,
        error=error if over else None,
        reference=read_reference(document),
    )


def _vidu_status(word: str, code: str) -> TaskStatus:
    """An unknown word counts as in progress; a task which succeeded *with* an error has failed."""
    known = word.lower()
    if known not in ("success", "failed"):
        return TaskStatus.IN_PROGRESS
    if code in _CANCEL_CODES:
        return TaskStatus.CANCELED
    return TaskStatus.COMPLETED if known == "success" and not code else TaskStatus.FAILED


_READERS: dict[System, Callable[[Mapping[str, object], str], Snapshot]] = {
    System.VTRIX: _vtrix_snapshot,
    System.VIDU: _vidu_snapshot,
}


def told_at_once(system: System, document: object) -> Snapshot | None:
    """The snapshot in the answer to a create, unless it says no more than that the task exists."""
    snapshot = read_snapshot(system, document)
    if snapshot is None:
        return None
    more = snapshot.status is not TaskStatus.IN_PROGRESS or snapshot.progress is not None
    return snapshot if more else None


def read_look(system: System, status: int, headers: Mapping[str, str], body: bytes) -> QueryOutcome:
    """The verdict on a GET of a task. Header names in lower case."""
    document = decode(body)
    if 200 <= status < 300:
        snapshot = read_snapshot(system, document)
        return Found(snapshot) if snapshot else Later(f"{status} without a task's status")
    return Missing() if status == 404 else later(status, headers, document)


def later(status: int, headers: Mapping[str, str], document: object) -> Later:
    """An answer to what may be asked again, which tells nothing but why."""
    message = read_refusal(status, document).message
    if status in ACCOUNT_STATUSES:
        return Later(f"the account was refused with {status}: {message}", read_retry_after(headers))
    return Later(f"{status}: {message}", read_retry_after(headers))


def read_callback(native: System, body: bytes) -> Hint:
    """What a callback claims. A body in words that both systems have is taken for a `native` one."""
    document = decode(body)
    if not isinstance(document, dict):
        return Hint()
    word = read_status_word(document)
    if not word and _TELLING_KEYS.isdisjoint(document):
        return Hint()
    system = _author(document, word.lower()) or native
    snapshot = read_snapshot(system, document)
    final = snapshot is not None and snapshot.status is not TaskStatus.IN_PROGRESS
    return Hint(
        task_id=read_task_id(document),
        status=snapshot.status if snapshot else None,
        foreign=system is not native,
        snapshot=snapshot if final else None,
    )


def _author(document: Mapping[str, object], word: str) -> System | None:
    """Vidu's marks weigh more: Vtrix may write its own around them, but never the other way round."""
    if word in _VIDU_WORDS or not _VIDU_KEYS.isdisjoint(document):
        return System.VIDU
    if word in _VTRIX_WORDS or not _VTRIX_KEYS.isdisjoint(document):
        return System.VTRIX
    return None
