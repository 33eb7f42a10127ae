"""The Vidu door: Vidu's own platform API, for clients that know only that.

    POST /ent/v2/reference2video       {"model": "viduq2-pro", ...} -> {"task_id", "state", ...}
    GET  /ent/v2/tasks/{id}/creations  {"id", "state", "err_code", "credits"?, "creations", ...}
    POST /ent/v2/tasks/{id}/cancel     {}
    GET  /ent/v2/tasks                 {"next_page_token", "tasks"}

Its clients know exactly five states, take `credits` for a whole number, and believe a 0. So `credits` is left
out until the price is known.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Any, ClassVar, Final

from gateway.assets import Variant
from gateway.doors.base import Document, Link, Refusal
from gateway.events import EventType
from gateway.jobs import Job, Spend, rfc3339
from gateway.lifecycle import JobState, Status

MODEL: Final = "viduq2-pro"
_MODELS: Final = {MODEL: "viduq2_pro_reference"}
_THEIRS: Final = {ours: theirs for theirs, ours in _MODELS.items()}
#: A job is `created` only in the answer to its POST. From then on its state never goes backwards.
CREATED: Final = "created"
STATES: Final = {
    Status.QUEUED: "queueing",
    Status.IN_PROGRESS: "processing",
    Status.COMPLETED: "success",
    Status.FAILED: "failed",
    Status.CANCELED: "failed",
}
#: What the job's own callback URL hears: each change of its state.
HEARD: Final = (EventType.SUBMITTED, EventType.COMPLETED, EventType.FAILED, EventType.CANCELED)
_USD_OF_A_CREDIT: Final = Decimal("0.005")
_CANCELED: Final = "UserCancelled"
#: Sent by its clients, and without effect: `movement_amplitude` with any value, the others if false.
_NO_EFFECT: Final = "movement_amplitude"
_OFF: Final = ("audio", "auto_subjects", "is_rec")

#: `reason` of a refusal by the code of its first problem, or else by the name of its type, or else by its
#: status.
_BY_CODE: Final = {
    "required": "FieldLacking",
    "unknown_parameter": "FieldUnwanted",
    "given_twice": "FieldUnwanted",
    "too_few": "FieldItemCountOutOfRange",
    "too_many": "FieldItemCountOutOfRange",
    "too_many_images_with_video": "FieldItemCountOutOfRange",
}
_BY_NAME: Final = {
    "invalid-request": "FieldInvalid",
    "not-found": "TaskNotFound",
    "rate-limited": "TooManyRequests",
    "limit-reached": "QuotaExceeded",
}
_BY_STATUS: Final = {
    401: "Unauthorized",
    402: "CreditInsufficient",
    403: "Forbidden",
    404: "NotFound",
    429: "SystemThrottling",
    500: "InternalServiceFailure",
    503: "InternalServiceFailure",
}
#: Statuses that it has no use for: its own for a request that is refused for good is 400.
_AS_400: Final = frozenset({402, 409, 422})


class ViduDoor:
    name: ClassVar[str] = "vidu"
    listed_at: ClassVar[str] = "/ent/v2/tasks"
    schemes: ClassVar[frozenset[bytes]] = frozenset({b"token", b"bearer"})

    def read(self, document: object) -> object:
        """Only its own name of the model is known here."""
        if not isinstance(document, dict):
            return document
        kept = {
            name: value
            for name, value in document.items()
            if name != _NO_EFFECT and not (name in _OFF and value is False)
        }
        if isinstance(model := kept.get("model"), str):
            kept["model"] = _MODELS.get(model, "")
        return kept

    def accepted(self, job: Job) -> Document:
        return self.created(job, None)

    def created(self, job: Job, payload: str | None) -> Document:
        """The answer to the POST: always created, because a client polls next, whatever this says."""
        params = job.params
        return {
            "task_id": job.id,
            "state": CREATED,
            "model": _model(job),
            "images": _addresses(params.get("images")),
            "videos": _addresses(params.get("videos")),
            "seed": int(params.get("seed") or 0),
            "movement_amplitude": "auto",
            "payload": payload or "",
            "off_peak": job.off_peak,
            "watermark": bool(params.get("watermark")),
            **_about(job),
        }

    def shown(self, job: Job, payload: str | None, link: Link) -> Document:
        shown: Document = {
            "id": job.id,
            "state": STATES[job.status],
            "err_code": _err_code(job),
            "payload": payload or "",
            "bgm": bool(job.params.get("bgm")),
            "off_peak": job.off_peak,
            "creations": _creations(job, link) if job.state is JobState.COMPLETED else [],
        }
        if (spent := credits_of(job)) is not None:
            shown["credits"] = spent
        return shown

    def listed(self, job: Job, payload: str | None, link: Link) -> Document:
        """A row of a list. `payload`: None if it is too long for one."""
        return {**self.shown(job, payload, link), "model": _model(job), **_about(job)}

    def refused(self, refusal: Refusal) -> tuple[int, Document]:
        status = 400 if refusal.status in _AS_400 else refusal.status
        if status == 503 and not refusal.in_doubt:
            status = 429  # a careful client never sends a job again after a 5xx
        return status, {
            "code": status,
            "reason": _reason(refusal, status),
            "message": _message(refusal),
            "metadata": {"trace_id": refusal.request_id},
        }

    def event(self, job: Job, payload: str | None, link: Link) -> Document:
        """What a poll shows."""
        return self.shown(job, payload, link)


VIDU: Final = ViduDoor()


def credits_of(job: Job) -> int | None:
    """What the job cost, as far as the upstream told; None: not known yet, or never told."""
    if not job.final:
        return None
    told, cost = (job.metadata or {}).get("credits"), (job.usage or {}).get("cost")
    if isinstance(told, int) and not isinstance(told, bool):
        return told
    if cost is not None:
        return int((Decimal(str(cost)) / _USD_OF_A_CREDIT).to_integral_value(ROUND_CEILING))
    return 0 if job.spend is Spend.NONE else None


def _model(job: Job) -> str:
    return _THEIRS.get(job.model, job.model)


def _about(job: Job) -> Document:
    """The parameters that both the answer to the POST and a list show, with their defaults."""
    params = job.params
    return {
        "prompt": str(params.get("prompt", "")),
        "duration": int(params.get("duration", 5)),
        "aspect_ratio": str(params.get("aspect_ratio", "16:9")),
        "resolution": str(params.get("resolution", "720p")),
        "created_at": rfc3339(job.created_at),
    }


def _addresses(references: Any) -> list[str]:
    """Those that are addresses: files inside the request would make an answer of 20 MB."""
    return [one for one in references or () if one.lower().startswith("http")]


def _err_code(job: Job) -> str:
    if job.state is JobState.CANCELED:
        return _CANCELED
    return str(job.error["code"]) if job.state is JobState.FAILED and job.error else ""


def _creations(job: Job, link: Link) -> list[Document]:
    """The videos. The addresses of the first are ours, if there are such."""
    items = [item for group in job.output or () for item in group.get("content", ()) if item.get("url")]
    found = [_creation(job, at, item) for at, item in enumerate(items)]
    for name, variant in (("url", Variant.VIDEO), ("watermarked_url", Variant.WATERMARKED)):
        if found and found[0].get(name) and (ours := link(job, variant)) is not None:
            found[0][name] = ours
    return found


def _creation(job: Job, at: int, item: dict[str, Any]) -> Document:
    named = item.get("id")
    shown: Document = {
        "id": str(named) if isinstance(named, str | int) and named != "" else f"{job.id}-{at + 1}",
        "url": str(item["url"]),
        "cover_url": item["cover_url"] if isinstance(item.get("cover_url"), str) else "",
    }
    if isinstance(item.get("watermarked_url"), str):
        shown["watermarked_url"] = item["watermarked_url"]
    return shown


def _reason(refusal: Refusal, status: int) -> str:
    found = next((_BY_CODE[one.code] for one in refusal.problems[:1] if one.code in _BY_CODE), None)
    if found is None and refusal.name in _BY_NAME:
        found = _BY_NAME[refusal.name]
    return found or _BY_STATUS.get(refusal.status if status == 400 else status, "BadRequest")


def _message(refusal: Refusal) -> str:
    """Everything that is wrong, one a line."""
    if not refusal.problems:
        return refusal.detail
    lines = []
    for one in refusal.problems:
        text = one.message.replace(_MODELS[MODEL], MODEL)
        lines.append(f"{one.param}: {text}" if one.param else text)
    return "\n".join(lines)
