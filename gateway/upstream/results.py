"""Reads what a finished task made: the published groups, and what the job's owner should know about them.

A task that the upstream calls completed is paid for. So no form of its result is a reason to drop it: a URL
that can be mended is mended, one that cannot be judged is kept as it came, and a warning says so. The input
is one decoded JSON value of any type; nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from gateway.errors import Notice
from gateway.urls import MAX_CALLBACK_URL_CHARACTERS, url_fault

#: Names under which upstreams put the result of a task. The first one that names a video is read.
_PLACES: Final = (
    *("output", "creations", "outputs", "results", "result", "task_result", "videos", "video"),
    "data",
)
#: Names under which they put the URL of a video. A marked video is better than none.
_URL_NAMES: Final = (
    *("url", "video_url", "download_url", "file_url", "video", "uri", "src", "href", "link", "urls"),
    "watermarked_url",
)
_MAX_WARNINGS: Final = 10
_LIKE_A_URL: Final = re.compile(r"\s*(?:(?:[a-z][a-z0-9+.-]*:)?//|/\S|data:\S)", re.IGNORECASE)
#: The scheme and the host, which are not touched, and the rest.
_PARTS: Final = re.compile(r"(https?://[^/?#\\]*)(.*)", re.IGNORECASE | re.DOTALL)
_UNSAFE: Final = re.compile(r'[^!-~]|[\\<>"]')
_IGNORED: Final = str.maketrans("", "", "\t\r\n")  # as browsers do

_ENCODED: Final = (
    "output_url_changed",
    "is not exactly what the upstream sent: characters that a URL cannot have were percent-encoded, or a "
    "missing https: was put in front",
)
_UNJUDGED: Final = (
    "output_url_unusual",
    "is kept as the upstream sent it, but it is not a plain http(s) URL of at most "
    f"{MAX_CALLBACK_URL_CHARACTERS} characters, so it may not be usable",
)
_MOVED: Final = "output_url_moved"

_Faults = list[tuple[str, str, str]]


def read_result(document: Mapping[str, object]) -> tuple[list[dict[str, object]], list[Notice]]:
    """The groups `[{"content": [{"type", "url", ...}]}]` of a task's document, and warnings about them.

    Accepts an array of groups, one group, items, or bare URLs, under each name that is in use. Leaves out
    groups with no usable item.
    """
    first: tuple[list[dict[str, object]], list[Notice]] = [], []
    for name in (*(name for name in _PLACES if name in document), None):
        # Some put the URL beside the status.
        value = {key: document.get(key) for key in _URL_NAMES} if name is None else document[name]
        groups, warnings = read_output(value)
        if isinstance(value, dict) and name is not None and not shows_video(groups):
            groups, warnings = read_result(value)
        if shows_video(groups):
            return groups, warnings
        if not first[0]:
            first = groups, warnings
    return first


def shows_video(groups: object) -> bool:
    """Whether at least one item has a URL."""
    contents = (group.get("content") for group in groups) if isinstance(groups, list) else ()
    return any(
        isinstance(item, dict) and bool(item.get("url"))
        for content in contents
        if isinstance(content, list)
        for item in content
    )


def read_output(value: object) -> tuple[list[dict[str, object]], list[Notice]]:
    """The groups in the value of one field, and warnings about them."""
    found = [_read_group(group) for group in (value if isinstance(value, list) else [value])]
    groups = [items for items in found if items]
    warnings = [
        Notice(f"output[{at}].content[{place}].{field}", code, message)
        for at, items in enumerate(groups)
        for place, (_, faults) in enumerate(items)
        for field, code, message in faults
    ]
    return [{"content": [item for item, _ in items]} for items in groups], warnings[:_MAX_WARNINGS]


def _read_group(group: object) -> list[tuple[dict[str, object], _Faults]]:
    content = group.get("content") if isinstance(group, dict) else group
    items = content if isinstance(content, list) else [content]
    found = [item for item in map(_read_item, items) if item]
    if found or not isinstance(group, dict):
        return found
    own = _read_item({name: value for name, value in group.items() if name != "content"})
    return [own] if own and "url" in own[0] else []


def _read_item(item: object) -> tuple[dict[str, object], _Faults] | None:
    """The item with all its fields, known or not, and what is unusual about its URLs."""
    if isinstance(item, str):
        item = {"url": item} if _LIKE_A_URL.match(item) else None
    if not isinstance(item, dict):
        return None
    kept, faults = dict(item), _Faults()
    named = next(((name, url) for name in _URL_NAMES if (url := _url_of(name, item.get(name)))), None)
    kept.pop("url", None)
    if named is not None:
        name, kept["url"] = named
        if name != "url" or not isinstance(item.get("url"), str):
            faults.append(("url", _MOVED, f"comes from {name}, because the upstream sent no plain url"))
        if not isinstance(kept.get("type"), str):
            kept["type"] = "video"
    for name, value in list(kept.items()):
        if not name.endswith("url"):
            continue
        if isinstance(value, str) and value:
            kept[name], fault = _read_url(value)
            faults += [] if fault is None else [(name, *fault)]
        else:
            del kept[name]
    return (kept, faults) if kept else None


def _url_of(name: str, value: object) -> str | None:
    """The first URL in the value of a field: a string, or one inside an array or an object. A field that is
    not called `url` may hold any text, so its text must look like a URL."""
    if isinstance(value, str):
        return value if (value.strip() if name == "url" else _LIKE_A_URL.match(value)) else None
    if isinstance(value, list):
        return next((url for item in value if (url := _url_of(name, item))), None)
    if isinstance(value, dict):
        return next((url for inner in _URL_NAMES if (url := _url_of(inner, value.get(inner)))), None)
    return None


def _read_url(text: str) -> tuple[str, tuple[str, str] | None]:
    """The URL as a client can fetch it, and the code and message of a warning, or None."""
    url = text.strip().translate(_IGNORED)
    url = f"https:{url}" if url.startswith("//") else url
    if parts := _PARTS.fullmatch(url):
        url = parts[1] + _UNSAFE.sub(lambda unsafe: quote(unsafe[0], safe="", errors="replace"), parts[2])
    if fault := url_fault(url, max_characters=MAX_CALLBACK_URL_CHARACTERS):
        return url if fault[0] == "too_long" else text, _UNJUDGED
    return url, None if url == text else _ENCODED
