"""The OpenAPI 3.1 document: paths are generated from the operations, schemas from their models."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any, Final

import orjson
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode
from starlette.requests import Request
from starlette.responses import Response

from gateway.web.api.routes import API
from gateway.web.openapi.headers import HEADERS
from gateway.web.openapi.paths import REFERENCE, models, paths
from gateway.web.openapi.problems import problems
from gateway.web.openapi.webhooks import terms, webhooks
from gateway.web.operation import Document
from gateway.web.ops.routes import OPS
from gateway.web.schemas import jobs

#: Schemas of webhooks and errors, which no operation refers to.
_OF_NO_OPERATION: Final = (jobs.Event, jobs.TestEvent, jobs.Gap, jobs.Problem)
SECURITY: Final[Document] = {
    "key": {"type": "http", "scheme": "bearer", "description": "A key of this service, `vgw_...`."}
}
_TAGS: Final = ("jobs", "uploads", "endpoints", "webhooks", "callbacks", "operators", "operations")
_DESCRIPTION: Final = """\
Video generation from reference images, as jobs. An accepted job is never lost, is paid for at most once, and
ends with a signed webhook.

Create a job, keep its `id`, and wait for it (`Prefer: wait=60`, `?wait=60`), or register an endpoint to
receive its events. Send an `Idempotency-Key` with every job: a repeated request with the same key creates no
second job, for as long as the first one is kept.

Send `Authorization: Bearer vgw_...`. Each operation names the scope that the key needs. An error is a
problem document (RFC 9457, `application/problem+json`). Decide by its `type`, and by `code` of `errors`;
texts are for people and may change. `param` of an error is the name of a parameter (`duration`), with the
position in an array (`images[0]`) or the name of a header in an object (`headers[X-Team]`); it is also the
name of a request header (`Idempotency-Key`) or of a query parameter (`limit`), and empty if the whole body
is meant. Checks run one after the other (head, JSON, parameters, files, addresses), so a request may have
problems that are shown only after those of the first answer are fixed. A field with `x-extensible-enum` may
get new values: accept any.

A 429 names its `limit`. Rates of your tenant: jobs (a job counts when it is accepted, so a refused one is
free), checks, uploads and webhook changes (these count before they are validated). All other requests have a
rate in each gateway process.

"""


async def show_document(_: Request) -> Response:
    return Response(_document_bytes(), media_type="application/json")


@cache  # it takes a second to make and is the same for as long as the process runs
def _document_bytes() -> bytes:
    return orjson.dumps(document())


def document() -> Document:
    bodies, answers = models((*API, *OPS))
    wanted: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        *((model.__name__, "validation", TypeAdapter(model)) for model in bodies),
        *((model.__name__, "serialization", TypeAdapter(model)) for model in (*answers, *_OF_NO_OPERATION)),
    ]
    _, definitions = TypeAdapter.json_schemas(wanted, ref_template=REFERENCE)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vidu-gateway",
            "version": version("vidu-gateway"),
            "description": _DESCRIPTION + terms(),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in _TAGS],
        "paths": paths((*API, *OPS)),
        "webhooks": webhooks(),
        "components": {
            "schemas": definitions["$defs"],
            "responses": problems(),
            "headers": HEADERS,
            "securitySchemes": SECURITY,
        },
    }
