"""The dialect of Vidu's own platform API: no I/O, no clock.

    POST /ent/v2/reference2video       {"model": M, ...}  -> {"task_id", "state", "credits", ...}
    GET  /ent/v2/tasks/{id}/creations  -> {"id", "state", "err_code", "credits", "payload", "creations"}
    POST /ent/v2/tasks/{id}/cancel     {"id"}             -> {}
    GET  /ent/v2/tasks?created_at.from=...                -> {"next_page_token", "tasks"}

Errors are `{"code", "reason", "message"}`. A POST is charged and has no idempotency key. The HTTP status
decides whether a task may exist; the reason decides what kind of refusal it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

import orjson

from gateway.upstream.answers import (
    read_moment,
    read_reference,
    read_refusal,
    read_retry_after,
    read_task_id,
    read_text,
)
from gateway.upstream.base import (
    Accepted,
    AccountRefused,
    Busy,
    CancelDone,
    CancelOutcome,
    CancelRefused,
    Capabilities,
    Hint,
    Inconclusive,
    ListedTask,
    Listing,
    Missing,
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
    inconclusive,
    initial_snapshot,
    read_callback,
    read_poll,
)

_PAGE_TASKS = 100
_MAX_TOKEN_CHARACTERS = 2048
_MAX_MODEL_CHARACTERS = 128

_WIRE_MODELS = {"viduq2_pro_reference": "viduq2-pro"}
_OUR_MODELS = {wire: ours for ours, wire in _WIRE_MODELS.items()}

#: Statuses after which there is no task. All others, such as 408, 409, 425, 499 and 5xx, do not say.
_NO_TASK = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422, 429})
#: Reasons after which a task may exist, whatever the status is.
_UNCLEAR = frozenset({"Canceled", "Conflict", "InternalServiceFailure"})
_BUSY = frozenset({"OperationInProcess", "QuotaExceeded", "SystemThrottling", "TooManyRequests"})
_ACCOUNT = frozenset({"CreditInsufficient", "Forbidden", "ModelUnavailable", "Unauthorized"})
_MISSING = frozenset({"CreationNotFound", "NotFound", "TaskNotFound"})


@dataclass(slots=True)
class ViduDialect:
    """Vidu's wire format. It has no options."""

    name: str = field(default="vidu", init=False)
    home: str = field(default="https://api.vidu.com", init=False)
    capabilities: Capabilities = field(
        default=Capabilities(cancel=True, listing=True, marks=True), init=False
    )

    def create_request(
        self, params: Mapping[str, object], *, model: str, callback_url: str | None, reference: str
    ) -> tuple[str, bytes]:
        sent = sent_params(params, callback_url=callback_url, reference=reference)
        wire = {"model": _WIRE_MODELS.get(model, model), **sent}
        return "/ent/v2/reference2video", orjson.dumps(wire)

    def query_path(self, task_id: str) -> str:
        return f"/ent/v2/tasks/{path_segment(task_id)}/creations"

    def headers(self, key: str) -> dict[str, str]:
        return {"authorization": f"Token {key}"}

    def read_created(self, status: int, headers: Mapping[str, str], body: bytes) -> SubmitOutcome:
        """Header names are in lower case. A 2xx without an id is `Unknown`, whatever else the body says."""
        document = decode_paid(body)
        if 200 <= status < 300:
            task_id = read_task_id(document) if isinstance(document, dict) else None
            if task_id is None:
                return Unknown(f"{status} without an id")
            return Accepted(task_id, initial_snapshot(document))
        error = read_refusal(status, document)
        if status not in _NO_TASK or error.code in _UNCLEAR:
            return Unknown(f"{status}: {error.message}")
        if error.code in _ACCOUNT:
            return AccountRefused(error, status)
        if status == 429 or error.code in _BUSY:
            return Busy(f"{status}: {error.message}", read_retry_after(headers))
        return AccountRefused(error, status) if status in ACCOUNT_STATUSES else Rejected(error)

    def read_task(self, status: int, headers: Mapping[str, str], body: bytes) -> QueryOutcome:
        return read_poll(status, headers, body)

    def read_callback(self, body: bytes) -> Hint:
        """Vidu's own body is native; a Vtrix envelope is foreign."""
        return read_callback(BodyFormat.VIDU, body)

    def cancel_request(self, task_id: str) -> tuple[str, bytes]:
        return f"/ent/v2/tasks/{path_segment(task_id)}/cancel", orjson.dumps({"id": task_id})

    def read_canceled(self, status: int, headers: Mapping[str, str], body: bytes) -> CancelOutcome:
        """Header names are in lower case. `CancelDone` only if the answer says so: an empty object, or a
        refusal because the task was canceled before."""
        document = decode(body)
        if 200 <= status < 300 and isinstance(document, dict) and "reason" not in document:
            return CancelDone()
        error = read_refusal(status, document)
        if status == 404 or error.code in _MISSING:
            return Missing()
        if error.code == "UserCancelled":
            return CancelDone()
        clear = status in _NO_TASK and status != 429 and status not in ACCOUNT_STATUSES
        if not clear or error.code in _UNCLEAR | _BUSY | _ACCOUNT:
            return inconclusive(status, headers, document)
        return CancelRefused(f"{status}: {error.message}")

    def list_path(self, since_ms: int, until_ms: int, page: str | None) -> str:
        query: dict[str, str | int] = {
            "created_at.from": _rfc3339(since_ms),
            "created_at.to": _rfc3339(until_ms),
            "pager.pagesz": _PAGE_TASKS,
        }
        if page is not None:
            query["pager.page_token"] = page
        return f"/ent/v2/tasks?{urlencode(query)}"

    def read_list(self, status: int, headers: Mapping[str, str], body: bytes) -> Listing | Inconclusive:
        """`Inconclusive` if any row cannot be read: a task that is absent from the list counts as evidence,
        so the list must be complete."""
        document = decode(body)
        if not 200 <= status < 300:
            return inconclusive(status, headers, document)
        if not isinstance(document, dict) or "tasks" not in document:
            return Inconclusive(f"{status} without a list of tasks")
        rows, token = document["tasks"], document.get("next_page_token")
        tasks = [_read_row(row) for row in rows] if isinstance(rows, list) else []
        known = [task for task in tasks if task is not None]
        complete = isinstance(rows, list | None) and len(known) == len(tasks)
        if not complete or not isinstance(token, str | None) or len(token or "") > _MAX_TOKEN_CHARACTERS:
            return Inconclusive(f"{status} with a list that cannot be read")
        return Listing(known, token or None)


def _read_row(row: object) -> ListedTask | None:
    """The prompt is not cleaned: it is only compared, never shown."""
    task_id = read_task_id(row) if isinstance(row, dict) else None
    if task_id is None or not isinstance(row, dict):
        return None
    model, prompt = read_text(row.get("model"), _MAX_MODEL_CHARACTERS), row.get("prompt")
    return ListedTask(
        task_id,
        created_at=read_moment(row.get("created_at")),
        reference=read_reference(row),
        model=_OUR_MODELS.get(model, model) or None,
        prompt=prompt if isinstance(prompt, str) else None,
    )


def _rfc3339(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC).replace(tzinfo=None)
    return f"{moment.isoformat()}.{milliseconds % 1000:03d}Z"
