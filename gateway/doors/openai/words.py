"""Jobs, errors and events in the words of OpenAI's videos API.

Types matter: `created_at` is whole seconds, `progress` a whole number of per cent, `seconds` a text. Some
clients refuse anything else. Names that OpenAI does not have are additions: `phase`, `cost`, `warnings`,
`metadata`, `payload`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Final

from gateway.assets import AssetState, Variant
from gateway.doors.base import Document, Link, Refusal
from gateway.doors.openai.sizes import SIZES, Shape
from gateway.errors import Problem
from gateway.generation.model import GenerationRequest
from gateway.jobs import Job
from gateway.lifecycle import JobState, Status

_STATUSES: Final = {
    Status.QUEUED: "queued",
    Status.IN_PROGRESS: "in_progress",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELED: "failed",
}
_CANCELED: Final = {"code": "canceled", "error_message": "the job was canceled before it was paid for"}
#: The defaults of what a job's parameters leave out.
_DEFAULTS: Final = {
    name: GenerationRequest.model_fields[name].default for name in ("duration", "resolution", "aspect_ratio")
}
_TYPES: Final = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}
#: Codes that have another name there.
_CODES: Final = {"result_not_ready": "video_not_ready"}
_PARAMS: Final = {"job_id": "video_id"}
#: Meant for a client that asks again, or that waits for the same record: neither is meant here.
_STATUSES_OF_ERRORS: Final = {408: 400, 409: 400, 501: 400}


class OpenAIDoor:
    name: ClassVar[str] = "openai"
    listed_at: ClassVar[str] = "/v1/videos"
    schemes: ClassVar[frozenset[bytes]] = frozenset({b"bearer"})

    def accepted(self, job: Job) -> Document:
        return _video(job)

    def shown(self, job: Job, payload: str | None, link: Link) -> Document:
        """No address of the file: clients know where its content is."""
        return _video(job) if payload is None else {**_video(job), "payload": payload}

    def refused(self, refusal: Refusal) -> tuple[int, Document]:
        """Problems of a request are a 400 there. All of them are in the message, and in `errors`."""
        status = _STATUSES_OF_ERRORS.get(refusal.status, refusal.status)
        if refusal.name == "invalid-request":
            status = 400
        problems = [
            Problem(_PARAMS.get(one.param, one.param), _CODES.get(one.code, one.code), one.message)
            for one in refusal.problems
        ]
        first = next(iter(problems), None)
        return status, {
            "error": {
                "message": replace(refusal, problems=problems).message,
                "type": _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
                "param": (first.param or None) if first else None,
                "code": first.code if first else refusal.name.replace("-", "_"),
                "errors": [
                    {"param": one.param, "code": one.code, "message": one.message} for one in problems
                ],
                "request_id": refusal.request_id,
            }
        }

    def event(self, job: Job, payload: str | None, link: Link) -> Document:
        """A webhook event of OpenAI's, with the whole video in `data`."""
        kind = "completed" if job.state is JobState.COMPLETED else "failed"
        return {
            "id": f"evt_{job.id.removeprefix('job_')}_{job.state}_{self.name}",  # as its webhook-id
            "object": "event",
            "created_at": _seconds(job.finished_at or job.created_at),
            "type": f"video.{kind}",
            "data": self.shown(job, payload, link),
        }


OPENAI: Final = OpenAIDoor()


def deleted(job: Job) -> Document:
    """The answer to a DELETE."""
    return {"id": job.id, "object": "video.deleted", "deleted": True}


def page(jobs: list[Job], last: str | None) -> Document:
    """A page of videos. `last`: the next page is after this id; None: there is none."""
    videos = [_video(job) for job in jobs]
    return {
        "object": "list",
        "data": videos,
        "first_id": videos[0]["id"] if videos else None,
        "last_id": last or (videos[-1]["id"] if videos else None),
        "has_more": last is not None,
    }


def model(name: str) -> Document:
    return {"id": name, "object": "model", "created": 0, "owned_by": "vidu"}


def _video(job: Job) -> Document:
    params = {**_DEFAULTS, **job.params}
    usage = job.usage or {}
    return {
        "id": job.id,
        "object": "video",
        "model": job.model,
        "status": _STATUSES[job.status],
        "progress": _progress(job),
        "created_at": _seconds(job.created_at),
        "completed_at": None if job.finished_at is None else _seconds(job.finished_at),
        "expires_at": _expires_at(job),
        "seconds": str(_length(job) or params["duration"]),
        "size": SIZES.get(Shape(params["resolution"], params["aspect_ratio"]), ""),
        "prompt": job.params.get("prompt"),
        "remixed_from_video_id": None,
        "error": _error(job),
        "phase": job.state,
        "cost": None if usage.get("cost") is None else str(usage["cost"]),
        "warnings": job.warnings,
        "metadata": job.metadata or {},
    }


def _seconds(ms: int) -> int:
    return ms // 1000


def _progress(job: Job) -> int:
    if job.state is JobState.COMPLETED:
        return 100
    return min(99, max(0, int(100 * (job.progress or 0))))


def _length(job: Job) -> int | None:
    """The whole seconds of the result, if the model chose them and the upstream tells."""
    if job.params.get("duration") != 0:
        return None
    contents: list[dict[str, Any]] = [item for group in job.output or () for item in group.get("content", ())]
    try:
        return round(float(contents[0]["duration"])) if contents else None
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _expires_at(job: Job) -> int | None:
    """When our copy of the video is deleted."""
    asset = job.assets.get(Variant.VIDEO)
    if asset is None or asset.state is not AssetState.STORED or asset.expires_at is None:
        return None
    return _seconds(asset.expires_at)


def _error(job: Job) -> Document | None:
    if job.status not in (Status.FAILED, Status.CANCELED):
        return None
    error = job.error or _CANCELED
    return {"code": str(error["code"]), "message": str(error["error_message"])}
