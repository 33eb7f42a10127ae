"""The result that a callback's body claims, as far as it may be believed at all.

The token in the URL proves who was given it, not who wrote the body: a result is believed only when the
operator said so (`callback_trust=body`), and only with addresses at hosts that the operator named.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.settings import Settings
from gateway.upstream.base import Snapshot, TaskStatus
from gateway.urls import url_fault

_MAX_URL_CHARACTERS: Final = 2048


def read(settings: Settings, snapshot: Snapshot | None) -> dict[str, Any] | None:
    """`{"status", "output", "usage", "metadata", "error"}` of a task that ended, or None."""
    if settings.callback_trust != "body" or snapshot is None or snapshot.status is TaskStatus.IN_PROGRESS:
        return None
    if snapshot.status is TaskStatus.COMPLETED and not _has_result(snapshot):
        return None
    urls = (*_urls(snapshot.output), *_urls(snapshot.metadata))
    if not all(_is_believed(settings, url) for url in urls):
        return None
    error = snapshot.error
    return {
        "status": snapshot.status,
        "output": snapshot.output,
        "usage": snapshot.usage,
        "metadata": snapshot.metadata,
        "error": None if error is None else {"code": error.code, "message": error.message},
    }


def _has_result(snapshot: Snapshot) -> bool:
    """A cover alone is no result."""
    groups = [group.get("content") for group in snapshot.output]
    return any("url" in item for items in groups if isinstance(items, list) for item in items)


def _urls(value: object, name: str = "") -> Iterator[str]:
    """Whatever a reader might take for an address: by the name it stands under, or by its own look."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _urls(item, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _urls(item, name)
    elif isinstance(value, str) and (name.lower().endswith("url") or _looks_like_one(value)):
        yield value


def _looks_like_one(text: str) -> bool:
    return text.lstrip().lower().startswith(("http:", "https:", "//"))


def _is_believed(settings: Settings, url: str) -> bool:
    schemes = ("https", "http") if settings.allow_private_media_urls else ("https",)
    if url_fault(url, max_characters=_MAX_URL_CHARACTERS) is not None:
        return False
    parts = urlsplit(url)
    return parts.scheme in schemes and parts.hostname in {host.lower() for host in settings.result_hosts}
