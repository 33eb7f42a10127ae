"""The API's document (OpenAPI 3.1), by hand: the paths are literals, every schema comes from a model."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.requests import Request
from starlette.responses import Response

from gateway.generation import GenerationRequest
from gateway.web.http.answers import json_answer
from gateway.web.openapi.parts import REFERENCE, Document, problem, statuses
from gateway.web.openapi.paths import paths
from gateway.web.openapi.webhooks import terms, webhooks
from gateway.web.schemas import deliveries, endpoints, jobs, ops, overview, queues, subscribers, tenants

_REQUESTS: Final[tuple[type[BaseModel], ...]] = (
    GenerationRequest,
    *endpoints.REQUESTS,
    *deliveries.REQUESTS,
    *ops.REQUESTS,
    *tenants.REQUESTS,
    *queues.REQUESTS,
    *subscribers.REQUESTS,
)
_ANSWERS: Final[tuple[type[BaseModel], ...]] = (
    *(jobs.Job, jobs.JobList, jobs.Timeline, jobs.DryRun, jobs.DeliveryList),
    *endpoints.ANSWERS,
    *deliveries.ANSWERS,
    *(jobs.Event, jobs.Received, jobs.Health, jobs.Problem),
    *ops.ANSWERS,
    *tenants.ANSWERS,
    *overview.ANSWERS,
    *queues.ANSWERS,
    *subscribers.ANSWERS,
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
