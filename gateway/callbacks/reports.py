"""Reads the result that a callback's body reports, if the operator allows to trust it.

The token in the URL proves who was given the URL, not who wrote the body. So a result counts only if the
operator allowed it (`callback_trust=body`), and only if all its URLs are at hosts that the operator named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.errors import Notice
from gateway.jobs import Job
from gateway.settings import Settings
from gateway.upstream.base import Snapshot, TaskStatus, UpstreamError
from gateway.upstream.results import shows_video
from gateway.urls import url_fault

_MAX_URL_CHARACTERS: Final = 2048


def read(settings: Settings, snapshot: Snapshot | None) -> dict[str, Any] | None:
    """What a finished task's body reports: `{"status", "output", "usage", "metadata", "warnings", "error"}`;
    None if it does not count."""
    if settings.callback_trust != "body" or snapshot is None or snapshot.status is TaskStatus.IN_PROGRESS:
        return None
    if snapshot.status is TaskStatus.COMPLETED and not shows_video(snapshot.output):
        return None
    urls = (*_urls(snapshot.output), *_urls(snapshot.metadata))
    if not all(_is_trusted(settings, url) for url in urls):
        return None
    error = snapshot.error
    return {
        "status": snapshot.status,
        "output": snapshot.output,
        "usage": snapshot.usage,
        "metadata": snapshot.metadata,
        "warnings": [asdict(warning) for warning in snapshot.warnings],
        "error": None if error is None else {"code": error.code, "message": error.message},
    }


def believed(settings: Settings, job: Job) -> Snapshot | None:
    """The result that a callback's body reported for the job, if the settings trust bodies."""
    if settings.callback_trust != "body" or job.claimed is None:
        return None
    reported: dict[str, Any] = job.claimed
    error = reported.get("error")
    return Snapshot(
        task_id=job.task_id or "",
        status=TaskStatus(reported["status"]),
        raw_status=reported["status"],
        output=reported.get("output") or [],
        usage=reported.get("usage"),
        metadata=reported.get("metadata"),
        error=UpstreamError(error["code"], error["message"]) if error else None,
        warnings=[Notice(**warning) for warning in reported.get("warnings") or ()],
    )


def _urls(value: object, name: str = "") -> Iterator[str]:
    """Every text that a client might use as a URL, judging by the name of its field or by its own form."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _urls(item, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _urls(item, name)
    elif isinstance(value, str) and (name.lower().endswith("url") or _looks_like_url(value)):
        yield value


def _looks_like_url(text: str) -> bool:
    return text.lstrip().lower().startswith(("http:", "https:", "//"))


def _is_trusted(settings: Settings, url: str) -> bool:
    schemes = ("https", "http") if settings.allow_private_media_urls else ("https",)
    if url_fault(url, max_characters=_MAX_URL_CHARACTERS) is not None:
        return False
    parts = urlsplit(url)
    return parts.scheme in schemes and parts.hostname in {host.lower() for host in settings.result_hosts}
