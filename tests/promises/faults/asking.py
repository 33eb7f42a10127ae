"""One HTTP request with a short deadline, whose failure is an answer too."""

from __future__ import annotations

import contextlib
import http.client
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """`status` is None when no whole answer came: `error` then names the kind of failure."""

    status: int | None
    document: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    error: str = ""


def ask(
    method: str, url: str, *, key: str = "", body: bytes | None = None, seconds: float = 5.0, **headers: str
) -> Answer:
    """Over a fresh connection. Header names are written with `_` for `-`."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if key:
        sent["Authorization"] = f"Bearer {key}"
    if body is not None:
        sent.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    with contextlib.closing(connection):
        try:
            connection.request(method, target, body, sent)
            reply = connection.getresponse()
            raw = reply.read()
        except (OSError, http.client.HTTPException) as error:
            return Answer(None, error=type(error).__name__)
    found = {name.lower(): value for name, value in reply.getheaders()}
    try:
        return Answer(reply.status, json.loads(raw) if raw else None, found)
    except ValueError:
        return Answer(reply.status, None, found, error="no JSON")
