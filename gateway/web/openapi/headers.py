"""Response headers that many operations share, for the OpenAPI document."""

from __future__ import annotations

from typing import Final

from gateway.web.operation import Document, Operation

_RATE: Final = ("RateLimit-Policy", "RateLimit")
_ALWAYS: Final = ("X-Request-Id",)
HEADERS: Final[dict[str, Document]] = {
    "X-Request-Id": {
        "description": "Id of the request in the service's log: that of the request's header `X-Request-Id`, "
        "if it has 1 to 64 of `A-Z a-z 0-9 . _ : -`.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "Only if your tenant has a rate: what it may send. `q` requests in `w` seconds.",
        "schema": {"type": "string", "examples": ['"jobs";q=20;w=2']},
    },
    "RateLimit": {
        "description": "Only if your tenant has a rate: `r` requests are allowed now, and all of them again "
        "in `t` seconds.",
        "schema": {"type": "string", "examples": ['"jobs";r=19;t=1']},
    },
}


def references(*, rate: bool) -> Document:
    """The headers of a response. `rate`: whether it may show the rest of a rate."""
    names = (*_ALWAYS, *_RATE) if rate else _ALWAYS
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def shows_rate(operation: Operation) -> bool:
    """Whether its responses show the rest of the tenant's rate. Jobs are metered when they are accepted."""
    return operation.metered is not None or not operation.counted
