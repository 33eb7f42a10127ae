"""A request's headers as one dictionary, built once because several layers read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.types import Scope

_HEADERS: Final = "gateway.headers"

Headers = Mapping[bytes, bytes]


def gather(scope: Scope) -> Headers:
    """The dictionary, built at the first call. Names are in lower case; the last value of a repeated header
    wins (see `occurrences`)."""
    if _HEADERS not in scope:
        scope[_HEADERS] = dict(scope["headers"])
    headers: Headers = scope[_HEADERS]
    return headers


def headers_of(request: Request) -> Headers:
    """The dictionary that `gather` built at the start of the request."""
    headers: Headers = request.scope[_HEADERS]
    return headers


def occurrences(scope: Mapping[str, Any], name: bytes) -> int:
    return sum(1 for found, _ in scope["headers"] if found == name)
