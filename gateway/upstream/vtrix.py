"""The dialect of the Vtrix "generation" protocol: pure, no I/O and no clock.

    POST /model/v1/generation            {"model": M, "input": [{"params": {...}}]} -> {"id", "status", ...}
    GET  /model/v1/generation/task/{id}  {"id", "status", "progress"?, "output"?, "usage"?, "error"?, ...}

The published page lists the parameters flat; the wire nests them. There is no idempotency key, and a
POST is charged: whatever is neither a task's id nor a plain refusal is `Unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import orjson

from gateway import strict_json
from gateway.errors import ConfigurationError, MalformedBody
from gateway.upstream.answers import (
    FALLBACK_CODE,
    NO_REASON,
    read_error,
    read_output,
    read_progress,
    read_refusal,
    read_retry_after,
    read_status,
    read_status_word,
    read_storable,
    read_task_id,
    read_usage,
)
from gateway.upstream.base import (
    Accepted,
    Busy,
    Found,
    Hint,
    Later,
    Missing,
    QueryOutcome,
    Refused,
    Rejected,
    Snapshot,
    SubmitOutcome,
    TaskStatus,
    Unknown,
    UpstreamError,
)

#: Refusals of the account: every other job would be refused alike.
_ACCOUNT = frozenset({401, 402, 403})
#: 4xx that do not say whether the request was acted on: timeout, conflict, too early.
_UNCLEAR = frozenset({408, 409, 425})
#: Never taken from the job's parameters: the gateway owns them.
_OWNED = frozenset({"model", "payload", "callback_url"})
#: Keys and words that only Vidu's own callbacks have. Vidu documents its word as `state` and as `status`.
_FOREIGN_KEYS = frozenset({"creations", "state", "err_code", "credits"})
_FOREIGN_WORDS = frozenset({"created", "queueing", "processing", "success"})


@dataclass(slots=True)
class VtrixDialect:
    """`nested`: whether the parameters stand under `input[0].params`, as the vendor's client sends
    them, or flat beside the model. `task_path` has `{id}` where the task's id goes."""

    nested: bool = True
    create_path: str = "/model/v1/generation"
    task_path: str = "/model/v1/generation/task/{id}"
    name: str = field(default="vtrix", init=False)

    def __post_init__(self) -> None:
        if not self.create_path.startswith("/"):
            raise ConfigurationError(f"the upstream's create path must start with /: {self.create_path!r}")
        if not self.task_path.startswith("/") or "{id}" not in self.task_path:
            raise ConfigurationError(
                f"the upstream's task path must start with / and have {{id}}: {self.task_path!r}"
            )

    def create_request(
        self, params: Mapping[str, object], *, model: str, callback_url: str | None, reference: str
    ) -> tuple[str, bytes]:
        """Nothing unset goes out, for Vidu refuses fields it does not want; `duration` 0 is set."""
        sent = {name: value for name, value in params.items() if _is_sent(name, value)}
        sent["payload"] = reference
        if callback_url is not None:
            sent["callback_url"] = callback_url
        wire = {"model": model, "input": [{"params": sent}]} if self.nested else {"model": model, **sent}
        return self.create_path, orjson.dumps(wire)

    def query_path(self, task_id: str) -> str:
        """The id is the upstream's, or a callback's claim of it: it cannot lead to another path."""
        segment = quote(task_id, safe="", errors="replace")
        if not segment.strip("."):
            segment = segment.replace(".", "%2E")
        return self.task_path.replace("{id}", segment)

    def headers(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"}

    def read_created(self, status: int, headers: Mapping[str, str], body: bytes) -> SubmitOutcome:
        """Header names in lower case. A verdict of "no task" needs a status or an error that says so."""
        document = _decode(body)
        if 200 <= status < 300:
            return _read_accepted(status, document)
        error = read_refusal(status, document)
        if status in _ACCOUNT:
            return Refused(error, status)
        if status == 429:
            return Busy(f"429: {error.message}", read_retry_after(headers))
        if 400 <= status < 500 and status not in _UNCLEAR:
            return Rejected(error)
        return Unknown(f"{status}: {error.message}")

    def read_task(self, status: int, headers: Mapping[str, str], body: bytes) -> QueryOutcome:
        """Header names in lower case. The snapshot's `task_id` is "" when the answer names none."""
        document = _decode(body)
        if 200 <= status < 300:
            snapshot = _read_snapshot(document)
            return Found(snapshot) if snapshot else Later(f"{status} without a task's status")
        if status == 404:
            return Missing()
        message = read_refusal(status, document).message
        if status in _ACCOUNT:
            return Later(f"the account was refused with {status}: {message}", read_retry_after(headers))
        return Later(f"{status}: {message}", read_retry_after(headers))

    def read_callback(self, body: bytes) -> Hint:
        """Takes our upstream's envelope and Vidu's own body, which it may merely pass on."""
        document = _decode(body)
        if not isinstance(document, dict):
            return Hint()
        word = read_status_word(document)
        foreign = not _FOREIGN_KEYS.isdisjoint(document) or word.lower() in _FOREIGN_WORDS
        if not foreign and not word and "output" not in document:
            return Hint()
        status = read_status(word, read_error(document.get("error"))) if word else None
        return Hint(task_id=read_task_id(document), status=status, foreign=foreign)


def _is_sent(name: str, value: object) -> bool:
    if value is None or name in _OWNED:
        return False
    # A seed of 0 is no seed, no videos is none, and off-peak may be named only to ask for it.
    return not (name in ("seed", "videos", "off_peak") and not value)


def _decode(body: bytes) -> object:
    """None when it is not JSON."""
    try:
        return read_storable(strict_json.loads(body))
    except MalformedBody:
        return None


def _read_accepted(status: int, document: object) -> SubmitOutcome:
    if not isinstance(document, dict):
        return Unknown(f"{status} with a body that cannot be read")
    task_id = read_task_id(document)
    if task_id is not None:
        snapshot = _read_snapshot(document)
        told = snapshot and (snapshot.status is not TaskStatus.IN_PROGRESS or snapshot.progress is not None)
        return Accepted(task_id, snapshot if told else None)
    error = read_error(document.get("error"))
    return Rejected(error) if error else Unknown(f"{status} with neither an id nor an error")


def _read_snapshot(document: object) -> Snapshot | None:
    """None when it tells no status: nothing is inferred from the presence of other fields."""
    if not isinstance(document, dict):
        return None
    word = read_status_word(document)
    if not word:
        return None
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
    )
