"""The answers and callback bodies of the vtrix dialect, in the shapes seen from the real upstream."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from gateway.sandbox.checks import MODEL
from gateway.sandbox.faults import Fault
from gateway.sandbox.tasks import Task

_REFUSALS: dict[str, tuple[int, dict[str, Any]]] = {
    "400": (400, {"error": {"code": "BadRequest", "message": "the request is not valid"}}),
    "401": (401, {"error": {"code": "Unauthorized", "message": "the API key is missing or not valid"}}),
    "402": (
        402,
        {"status": {"code": 402, "message": "Insufficient credits", "error_code": 40201}, "data": None},
    ),
    "403": (403, {"message": "insufficient balance or permission denied"}),
    "404": (404, {"error": {"code": "ModelNotFound", "message": "no such model"}}),
    "408": (408, {"message": "the request took too long"}),
    "409": (409, {"error": {"code": "Conflict", "message": "the request is in conflict with another"}}),
    "422": (422, {"detail": "the input cannot be processed"}),
    "429": (429, {"error": {"code": "TooManyRequests", "message": "rate limit exceeded"}}),
    "500": (500, {"error": "internal error"}),
    "503": (503, {"detail": "temporarily overloaded"}),
    "no_id": (200, {"error": {"code": 1015, "error_message": "the request was not accepted"}}),
}


def json(document: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(document), status, headers, "application/json")


def retry_after(fault: Fault) -> dict[str, str] | None:
    """The Retry-After header, if the fault has a value."""
    is_timed = fault.name.removesuffix("_after") in ("429", "503")
    return {"Retry-After": fault.value} if fault.value and is_timed else None


def refusal(code: str, message: str, status: int, request_id: str) -> Response:
    return json({"error": {"code": code, "message": message}, "request_id": request_id}, status)


def refusal_by(fault: Fault, request_id: str) -> Response:
    """The answer that the fault stands for; the answer is the same with `_after` at the end of its name."""
    status, body = _REFUSALS[fault.name.removesuffix("_after")]
    if fault.name == "no_id" and fault.value == "string":
        body = {"error": "the request was not accepted"}
    return json(body, status, retry_after(fault))


def envelope(task: Task, progress: float) -> dict[str, Any]:
    """The task in the vtrix format. `progress`, 0 to 1, is only sent while the task is in progress."""
    body: dict[str, Any] = {
        "id": task.id,
        "created_at": int(task.created_at),
        "status": task.status,
        "model": MODEL,
    }
    if task.status == "in_progress":
        body["progress"] = round(progress, 4)
        if "unknown_status" in task.faults:
            body["status"] = "processing"
    elif task.failure:
        body["error"] = _error(task.failure)
    else:
        body["output"] = [{"content": _content(task)}]
        body["usage"] = {"cost": task.cost, "discount": 0}
        body["metadata"] = _metadata(task)
    return body


def _error(failure: tuple[str | int, str]) -> dict[str, Any]:
    """A numeric code comes with `error_message`, as published. A text code comes with `message`, as in other
    models of the same upstream."""
    code, message = failure
    return {"code": code, "error_message" if isinstance(code, int) else "message": message}


def _content(task: Task) -> list[dict[str, Any]]:
    if task.files is None:
        return []
    item = {"type": "video", "url": task.link(task.files.film), "jobId": task.foreign_id}
    if task.files.marked:
        item["watermarked_url"] = task.link(task.files.marked)
    return [item]


def _metadata(task: Task) -> dict[str, Any]:
    return {
        "seed": task.seed,
        "duration": task.seconds,
        "width": task.size[0],
        "height": task.size[1],
        "started_at": task.started_at,
        "finished_at": task.finished_at,
    }
