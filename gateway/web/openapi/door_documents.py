"""One OpenAPI document for each door but our own, so that ours stays as it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

import orjson
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from gateway.doors.openai.words import OPENAI
from gateway.doors.vidu import VIDU
from gateway.doors.vtrix import VTRIX
from gateway.web.doors.routes import OF_DOORS
from gateway.web.openapi.document import SECURITY
from gateway.web.openapi.headers import HEADERS, references
from gateway.web.openapi.paths import REFERENCE, models, paths, reference
from gateway.web.operation import RETRY_AFTER, Document
from gateway.web.schemas import openai, vidu, vtrix

#: The shape of every error of a door.
_REFUSALS: Final[Mapping[str, type[Any]]] = {
    VTRIX.name: vtrix.VtrixRefusal,
    VIDU.name: vidu.ViduRefusal,
    OPENAI.name: openai.OpenAIRefusal,
}
_DESCRIPTION: Final = """\
The same service in the words of another API. A job that is made here is a job of `/v1/jobs`, with the same
id, limits and promises. The main document is `/openapi.json`.
"""


def path_of(door: str) -> str:
    return f"/openapi-{door}.json"


def show(door: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return Response(_bytes(door), media_type="application/json")

    return answer


@cache
def _bytes(door: str) -> bytes:
    return orjson.dumps(document(door))


def document(door: str) -> Document:
    _, answers = models(OF_DOORS[door])
    refusal = _REFUSALS[door]
    shapes = [*answers, refusal]
    _, definitions = TypeAdapter.json_schemas(
        [(shape.__name__, "serialization", TypeAdapter(shape)) for shape in shapes], ref_template=REFERENCE
    )
    made = paths(OF_DOORS[door])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"vidu-gateway: the {door} door",
            "version": version("vidu-gateway"),
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": door}],
        "paths": made,
        "components": {
            "schemas": definitions["$defs"],
            "responses": {f"Problem{status}": _error(status, refusal) for status in _statuses(made)},
            "headers": HEADERS,
            "securitySchemes": SECURITY,
        },
    }


def _statuses(made: Document) -> list[int]:
    """Statuses of the errors to which the operations refer."""
    found = {
        int(status)
        for item in made.values()
        for operation in item.values()
        if isinstance(operation, dict)
        for status, reply in operation["responses"].items()
        if "$ref" in reply
    }
    return sorted(found)


def _error(status: int, refusal: type[Any]) -> Document:
    headers = references(rate=True)
    if status in (429, 503):
        headers["Retry-After"] = RETRY_AFTER
    return {
        "description": HTTPStatus(status).phrase,
        "headers": headers,
        "content": {"application/json": {"schema": reference(refusal)}},
    }
