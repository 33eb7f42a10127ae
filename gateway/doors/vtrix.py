"""The Vtrix door: the upstream's own "generation" protocol, for clients that know only that.

    POST /model/v1/generation            {"model": M, "input": [{"params": {...}}]} -> {"id", "status", ...}
    GET  /model/v1/generation/task/{id}  {"id", "status", "progress"?, "output"?, "usage"?, "error"?, ...}

Types matter more than names here. Vtrix's own client refuses an answer whose `created_at` is no integer,
whose `usage.cost` or `content[].duration` is no string, or whose HTTP error is no string, and then reports a
failure although the job exists.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from gateway.assets import Variant
from gateway.doors.base import Document, Link, Refusal, chosen
from gateway.jobs import Job
from gateway.lifecycle import JobState, Status

#: `error.code` is a number there: one for each word of ours, and one for all other words.
CODES: Final = {
    "canceled": 90_001,
    "start_deadline_passed": 90_002,
    "total_deadline_passed": 90_003,
    "submission_poison": 90_004,
    "submission_unknown": 90_005,
    "media_lost": 90_006,
    "upstream_error": 90_007,
    "upstream_timeout": 90_008,
    "upstream_task_lost": 90_009,
    "upstream_no_output": 90_010,
    "upstream_canceled": 90_011,
    "upload_unreachable": 90_012,
}
_OTHER_CODE: Final = 90_000
#: A code that the upstream sent as a number, or as a text of digits.
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_CANCELED: Final = {"code": "canceled", "error_message": "the job was canceled before it was paid for"}
_STATUSES: Final = {
    Status.QUEUED: "in_progress",
    Status.IN_PROGRESS: "in_progress",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELED: "failed",
}
#: Sent beside the model by some clients. It changes nothing here.
_DROPPED: Final = "moderation"


class VtrixDoor:
    name: ClassVar[str] = "vtrix"
    listed_at: ClassVar[str] = "/v1/jobs"  # it has no list of its own
    schemes: ClassVar[frozenset[bytes]] = frozenset({b"bearer"})

    def read(self, document: object) -> object:
        """Both of its forms, nested and flat, are forms of ours, too."""
        if not isinstance(document, dict) or _DROPPED not in document:
            return document
        return {name: value for name, value in document.items() if name != _DROPPED}

    def accepted(self, job: Job) -> Document:
        """Always in progress: a client polls next, whatever this says."""
        return {**_head(job), "status": "in_progress"}

    def shown(self, job: Job, payload: str | None, link: Link) -> Document:
        shown = {**_head(job), "status": _STATUSES[job.status]}
        if payload is not None:
            shown["payload"] = payload
        if not job.final:
            return shown if job.progress is None else {**shown, "progress": float(job.progress)}
        if (usage := _usage(job)) is not None:
            shown["usage"] = usage
        if job.state is JobState.COMPLETED:
            return {**shown, "output": _output(job, link), "metadata": job.metadata or {}}
        return {**shown, "error": _error(job)}

    def refused(self, refusal: Refusal) -> tuple[int, Document]:
        status = 400 if refusal.status == 422 else refusal.status  # it has no 422
        if status == 503 and not refusal.in_doubt:
            status = 429  # a careful client never sends a job again after a 5xx
        return status, {
            "message": refusal.message,
            "error": refusal.name.replace("-", "_"),
            "code": status,
            "errors": [
                {"param": one.param, "code": one.code, "message": one.message} for one in refusal.problems
            ],
            "request_id": refusal.request_id,
        }

    def event(self, job: Job, payload: str | None, link: Link) -> Document:
        """What a poll shows."""
        return self.shown(job, payload, link)


VTRIX: Final = VtrixDoor()


def _output(job: Job, link: Link) -> list[Document]:
    """The result in groups. The addresses of its first video are ours, if there are such."""
    groups = [
        {"content": [_content(item) for item in group.get("content", ())]} for group in job.output or ()
    ]
    first = next((item for group in groups for item in group["content"] if "url" in item), None)
    if first is not None:
        for name, variant in (("url", Variant.VIDEO), ("watermarked_url", Variant.WATERMARKED)):
            if name in first and (ours := link(job, variant)) is not None:
                first[name] = ours
    return groups


def _head(job: Job) -> Document:
    return {"id": job.id, "created_at": job.created_at // 1000, "model": job.model}


def _content(item: dict[str, Any]) -> Document:
    """The fields whose types are known. What else the upstream sent stays in `/v1/jobs`."""
    shown: Document = {"type": str(item.get("type") or "video")}
    for name in ("url", "watermarked_url", "cover_url"):
        if isinstance(item.get(name), str):
            shown[name] = item[name]
    duration = item.get("duration")
    if isinstance(duration, str | int | float) and not isinstance(duration, bool):
        shown["duration"] = str(duration)
    return shown


def _usage(job: Job) -> Document | None:
    usage = chosen(job.usage or {}, "cost", "discount")
    if "cost" in usage:
        usage["cost"] = str(usage["cost"])
    return usage or None


def _error(job: Job) -> Document:
    error = job.error or _CANCELED
    word = str(error["code"])
    code = int(word) if _NUMBER.fullmatch(word) else CODES.get(word, _OTHER_CODE)
    return {"code": code, "error_message": str(error["error_message"]), "type": word}
