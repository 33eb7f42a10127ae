"""JSON responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.responses import Response
from starlette.types import Scope

from gateway.web.http.headers import gather

JSON_LINES: Final = "application/jsonl"
CSV: Final = "text/csv"
BYTES: Final = "application/octet-stream"


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


def wants_html(scope: Scope) -> bool:
    """Whether the client prefers HTML to JSON, as browsers do: it comes first in `Accept`."""
    accept = gather(scope).get(b"accept", b"")
    html = accept.find(b"text/html")
    return html >= 0 and not 0 <= accept.find(b"json") < html
