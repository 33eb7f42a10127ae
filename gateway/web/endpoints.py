"""The routes of endpoints: register a URL for webhooks, look at them, forget one."""

from __future__ import annotations

import re
from typing import Final

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from gateway import strict_json
from gateway.delivery.secrets import endpoint_secret
from gateway.endpoints import Endpoint, public_endpoint
from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.tenants import Scope
from gateway.web import auth, endpoint_problems
from gateway.web.answers import json_answer
from gateway.web.bodies import JsonBody
from gateway.web.queries import Query
from gateway.web.schemas import ENDPOINT_ID, EndpointRequest
from gateway.web.state import state_of
from gateway.web.targets import check_target

MAX_ENDPOINTS: Final = 50
_ENDPOINT_ID: Final = re.compile(ENDPOINT_ID)
_MAX_BODY_BYTES: Final = 65_536
_BODY_SECONDS: Final = 10.0


async def create(request: Request) -> Response:
    """201 and the endpoint with its secret, which is shown this once."""
    key = await auth.require(request, Scope.ENDPOINTS_WRITE)
    Query(request).check()
    state = state_of(request)
    async with JsonBody(request, key.tenant, state.budget, _MAX_BODY_BYTES, _BODY_SECONDS) as raw:
        wanted = _parse(raw)
    check_target(state.guard, "url", wanted.url)
    resources = state.resources
    if len(await resources.endpoints.of(key.tenant)) >= MAX_ENDPOINTS:
        raise Conflict(f"there are {MAX_ENDPOINTS} endpoints, which is the most; delete one first")
    endpoint = Endpoint(
        id=resources.environment.new_endpoint_id(),
        tenant=key.tenant,
        url=wanted.url,
        events=tuple(wanted.events),
        kid=resources.keyring.active_kid,
        created_at=resources.environment.now_ms(),
        description=wanted.description,
    )
    await resources.endpoints.create(endpoint)
    secret = endpoint_secret(resources.keyring, endpoint.kid, endpoint.id, endpoint.version)
    headers = {"location": f"/v1/endpoints/{endpoint.id}"}
    return json_answer({**public_endpoint(endpoint), "secret": secret}, 201, headers)


async def page(request: Request) -> Response:
    """All of the tenant's endpoints; there are never many."""
    key = await auth.require(request, Scope.ENDPOINTS_WRITE)
    Query(request).check()
    found = await state_of(request).resources.endpoints.of(key.tenant)
    return json_answer({"object": "list", "data": [public_endpoint(endpoint) for endpoint in found]})


async def show(request: Request) -> Response:
    return json_answer(public_endpoint(await _owned(request)))


async def delete(request: Request) -> Response:
    """204. What is still owed to the endpoint is not sent any more."""
    endpoint = await _owned(request)
    await state_of(request).resources.endpoints.delete(endpoint)
    return Response(status_code=204)


async def _owned(request: Request) -> Endpoint:
    key = await auth.require(request, Scope.ENDPOINTS_WRITE)
    Query(request).check()
    name = request.path_params["endpoint_id"]
    if not _ENDPOINT_ID.fullmatch(name):
        raise NotFound("endpoint", "of this form; ids look like ep_ and 26 letters and digits")
    endpoint = await state_of(request).resources.endpoints.read(key.tenant, name)
    if endpoint is None:
        raise NotFound("endpoint", name)
    return endpoint


def _parse(raw: bytes) -> EndpointRequest:
    strict_json.loads(raw)  # refuses what the model's own reader would let pass, such as a key given twice
    try:
        return EndpointRequest.model_validate_json(raw)
    except ValidationError as error:
        raise InvalidRequest(endpoint_problems.explain(error)) from None
