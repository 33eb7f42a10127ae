"""The API's document (OpenAPI 3.1), by hand: the paths are literals, every schema comes from a model."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.requests import Request
from starlette.responses import Response

from gateway.generation import GenerationRequest
from gateway.web import (
    delivery_schemas,
    endpoint_schemas,
    ops_schemas,
    overview_schemas,
    queue_schemas,
    schemas,
    subscriber_schemas,
    tenant_schemas,
)
from gateway.web.answers import json_answer
from gateway.web.openapi_parts import REFERENCE, Document, problem, statuses
from gateway.web.openapi_paths import paths
from gateway.web.openapi_webhooks import terms, webhooks

_REQUESTS: Final[tuple[type[BaseModel], ...]] = (
    GenerationRequest,
    *endpoint_schemas.REQUESTS,
    *delivery_schemas.REQUESTS,
    *ops_schemas.REQUESTS,
    *tenant_schemas.REQUESTS,
    *queue_schemas.REQUESTS,
    *subscriber_schemas.REQUESTS,
)
_ANSWERS: Final[tuple[type[BaseModel], ...]] = (
    *(schemas.Job, schemas.JobList, schemas.Timeline, schemas.DryRun, schemas.DeliveryList),
    *endpoint_schemas.ANSWERS,
    *delivery_schemas.ANSWERS,
    *(schemas.Event, schemas.Received, schemas.Health, schemas.Problem),
    *ops_schemas.ANSWERS,
    *tenant_schemas.ANSWERS,
    *overview_schemas.ANSWERS,
    *queue_schemas.ANSWERS,
    *subscriber_schemas.ANSWERS,
)
_TAGS: Final = ("jobs", "endpoints", "webhooks", "callbacks", "operators", "operations")
_DESCRIPTION: Final = """\
Video generation from reference images, as a job: accepted once, paid for at most once, told to you by a
signed webhook.

Post a job, keep its `id`, and wait (`Prefer: wait=60`, `?wait=60`) or register an endpoint and be told.
Send an `Idempotency-Key` with every job: a request that is sent again with it makes no second job, for as
long as the first one is kept.

"""


async def show_document(_: Request) -> Response:
    return json_answer(document())


def document() -> Document:
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((model, "validation") for model in _REQUESTS),
        *((model, "serialization") for model in _ANSWERS),
    ]
    _, definitions = models_json_schema(wanted, ref_template=REFERENCE)
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
        "paths": paths(),
        "webhooks": webhooks(),
        "components": {
            "schemas": definitions["$defs"],
            "responses": {f"Problem{status}": problem(status) for status in statuses()},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of this service, `vgw_...`.",
                }
            },
        },
    }
