"""JSON responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.responses import Response

JSON_LINES: Final = "application/jsonl"
CSV: Final = "text/csv"
BYTES: Final = "application/octet-stream"


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")
