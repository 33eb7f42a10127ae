"""The dialect of the Vtrix "generation" protocol: no I/O, no clock.

    POST /model/v1/generation            {"model": M, "input": [{"params": {...}}]} -> {"id", "status", ...}
    GET  /model/v1/generation/task/{id}  {"id", "status", "progress"?, "output"?, "usage"?, "error"?, ...}

The published documentation lists the parameters flat; the vendor's client nests them. A POST is charged, and
there is no idempotency key, no cancel and no list. So an answer that holds neither a task id nor a clear
refusal is `Unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from gateway.errors import ConfigurationError
from gateway.upstream.answers import read_error, read_refusal, read_retry_after, read_task_id
from gateway.upstream.base import (
    Accepted,
    AccountRefused,
    Busy,
    CancelOutcome,
    CancelRefused,
    Capabilities,
    Hint,
    Inconclusive,
    Listing,
    QueryOutcome,
    Rejected,
    SubmitOutcome,
    Unknown,
)
from gateway.upstream.requests import path_segment, sent_params
from gateway.upstream.snapshots import (
    ACCOUNT_STATUSES,
    BodyFormat,
    decode,
    decode_paid,
    initial_snapshot,
    read_callback,
    read_poll,
)

#: 4xx that do not say whether a task was created: timeout, conflict, too early, client closed the request.
_UNCLEAR = frozenset({408, 409, 425, 499})
_NO_CANCEL = "vtrix cannot cancel a task"
_NO_LIST = "vtrix has no list of tasks"


@dataclass(slots=True)
class VtrixDialect:
    """The wire format of Vtrix.

    `nested`: whether the parameters are in `input[0].params`, as the vendor's client sends them, or flat
    beside the model. `task_path`: a path with `{id}` in place of the task's id.
    """

    nested: bool = True
    create_path: str = "/model/v1/generation"
    task_path: str = "/model/v1/generation/task/{id}"
    name: str = field(default="vtrix", init=False)
    home: str = field(default="https://cloud.vtrix.ai", init=False)
    capabilities: Capabilities = field(default=Capabilities(), init=False)

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
        sent = sent_params(params, callback_url=callback_url, reference=reference)
        wire = {"model": model, "input": [{"params": sent}]} if self.nested else {"model": model, **sent}
        return self.create_path, orjson.dumps(wire)

    def query_path(self, task_id: str) -> str:
        return self.task_path.replace("{id}", path_segment(task_id))

    def headers(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"}

    def read_created(self, status: int, headers: Mapping[str, str], body: bytes) -> SubmitOutcome:
        """Header names are in lower case. Only a status or an error that says so proves that there is no
        task."""
        if 200 <= status < 300:
            return _read_accepted(status, body)
        error = read_refusal(status, decode_paid(body))
        if status in ACCOUNT_STATUSES:
            return AccountRefused(error, status)
        if status == 429:
            return Busy(f"429: {error.message}", read_retry_after(headers))
        if 400 <= status < 500 and status not in _UNCLEAR:
            return Rejected(error)
        return Unknown(f"{status}: {error.message}")

    def read_task(self, status: int, headers: Mapping[str, str], body: bytes) -> QueryOutcome:
        return read_poll(status, headers, body)

    def read_callback(self, body: bytes) -> Hint:
        """Reads the Vtrix envelope, and Vidu's own body, which Vtrix may forward unchanged."""
        return read_callback(BodyFormat.VTRIX, body)

    def cancel_request(self, task_id: str) -> tuple[str, bytes]:
        raise NotImplementedError(_NO_CANCEL)

    def read_canceled(self, status: int, headers: Mapping[str, str], body: bytes) -> CancelOutcome:
        return CancelRefused(_NO_CANCEL)

    def list_path(self, since_ms: int, until_ms: int, page: str | None) -> str:
        raise NotImplementedError(_NO_LIST)

    def read_list(self, status: int, headers: Mapping[str, str], body: bytes) -> Listing | Inconclusive:
        return Inconclusive(_NO_LIST)


def _read_accepted(status: int, body: bytes) -> SubmitOutcome:
    document = decode_paid(body)
    if not isinstance(document, dict):
        return Unknown(f"{status} with a body that cannot be read")
    task_id = read_task_id(document)
    if task_id is not None:
        return Accepted(task_id, initial_snapshot(document))
    # Of JSON with two meanings, the other one may name a task.
    error = read_error(document.get("error")) if decode(body) is not None else None
    return Rejected(error) if error else Unknown(f"{status} with neither an id nor an error")
