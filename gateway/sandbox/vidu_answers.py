"""The answers and callback bodies of the vidu dialect; also for callbacks of vtrix tasks that are
forwarded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from gateway.sandbox.answers import json, retry_after
from gateway.sandbox.checks import VIDU_MODEL, Reference
from gateway.sandbox.faults import Fault
from gateway.sandbox.prices import credits_of
from gateway.sandbox.tasks import Task

_UNPUBLISHED_STATE = "rendering"
_REFUSALS: dict[str, tuple[int, str, str]] = {
    "400": (400, "BadRequest", "the request is not valid"),
    "401": (401, "Unauthorized", "the API key is missing or not valid"),
    "402": (402, "CreditInsufficient", "insufficient credits"),
    "403": (403, "Forbidden", "insufficient balance or permission denied"),
    "404": (404, "NotFound", "no such model"),
    "408": (408, "RequestTimeout", "the request took too long"),
    "409": (409, "Conflict", "the request is in conflict with another"),
    "422": (422, "FieldInvalid", "the input cannot be processed"),
    "429": (429, "TooManyRequests", "rate limit exceeded"),
    "500": (500, "InternalServiceFailure", "internal error"),
    "503": (503, "SystemThrottling", "temporarily overloaded"),
    "no_id": (200, "OperationInProcess", "the request was not accepted"),
}


def refusal(code: str, message: str, status: int, request_id: str) -> Response:
    return json(_envelope(code, message, status, request_id), status)


def refusal_by(fault: Fault, request_id: str) -> Response:
    """The answer that the fault stands for; the answer is the same with `_after` at the end of its name."""
    status, reason, message = _REFUSALS[fault.name.removesuffix("_after")]
    return json(_envelope(reason, message, status, request_id), status, retry_after(fault))


def _envelope(reason: str, message: str, status: int, trace_id: str) -> dict[str, Any]:
    return {"code": status, "reason": reason, "message": message, "metadata": {"trace_id": trace_id}}


def created_body(task: Task) -> dict[str, Any]:
    """The answer to a creation: the parameters and the new task."""
    spec = task.spec
    return {
        "task_id": task.id,
        "state": _state(task),
        "model": VIDU_MODEL,
        "images": _addresses(spec.images),
        "videos": _addresses(spec.videos),
        "prompt": spec.prompt,
        "duration": task.seconds,
        "seed": task.seed,
        "aspect_ratio": spec.aspect_ratio,
        "resolution": spec.resolution,
        "movement_amplitude": "auto",
        "payload": spec.payload,
        "off_peak": False,
        "credits": credits_of(task.cost),
        "watermark": spec.watermark,
        "created_at": timestamp(task.created_at),
    }


def vidu_body(task: Task) -> dict[str, Any]:
    """The body of a poll's answer and of every callback."""
    return {
        "id": task.foreign_id,
        "state": _state(task),
        "err_code": str(task.failure[0]) if task.failure else "",
        "credits": 0 if task.is_refunded else credits_of(task.cost),
        "payload": task.spec.payload,
        "bgm": task.spec.bgm,
        "off_peak": False,
        "creations": _creations(task) if task.status == "completed" else [],
    }


def listed_body(task: Task, *, with_payload: bool) -> dict[str, Any]:
    """A row of the list."""
    row = vidu_body(task) | {
        "model": VIDU_MODEL,
        "prompt": task.spec.prompt,
        "duration": task.seconds,
        "aspect_ratio": task.spec.aspect_ratio,
        "resolution": task.spec.resolution,
        "created_at": timestamp(task.created_at),
    }
    if not with_payload:
        del row["payload"]
    return row


def timestamp(seconds: float) -> str:
    """RFC 3339, as in "2026-01-20T06:52:02.323Z"."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _state(task: Task) -> str:
    is_odd = task.dialect == "vidu" and "unknown_status" in task.faults
    return _UNPUBLISHED_STATE if is_odd and not task.has_ended else task.state


def _addresses(references: tuple[Reference, ...]) -> list[str]:
    """Only the URLs: inline media would make an answer of up to 20 MB."""
    return [reference.url for reference in references if reference.url]


def _creations(task: Task) -> list[dict[str, str]]:
    if task.files is None:
        return []
    creation = {
        "id": str(int(task.foreign_id) + 1),
        "url": task.link(task.files.film),
        "cover_url": task.link(task.files.cover) if task.files.cover else "",
    }
    if task.files.marked:
        creation["watermarked_url"] = task.link(task.files.marked)
    return [creation]
