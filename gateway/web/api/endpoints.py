"""Operations on endpoints: create, list, get and delete."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.delivery import sealing
from gateway.delivery.guard import allowing
from gateway.delivery.names import on_behalf_of
from gateway.delivery.secrets import endpoint_secret
from gateway.endpoints import Endpoint
from gateway.errors import ConfigurationError, Conflict, InvalidRequest, NotFound, Notice
from gateway.resources import Resources
from gateway.tenants import Key
from gateway.web.api.endpoint_problems import M, parse
from gateway.web.api.endpoint_views import view, views, warnings_view
from gateway.web.api.idempotency import REPLAYED, check_same, key_param, to_store
from gateway.web.api.webhook_urls import check_resolved_target
from gateway.web.http.answers import json_answer
from gateway.web.http.bodies import JsonBody
from gateway.web.http.params import Params
from gateway.web.schemas import endpoints as schemas
from gateway.web.schemas.endpoints import EndpointRequest
from gateway.web.schemas.jobs import ENDPOINT_ID
from gateway.web.state import State, state_of

MAX_ENDPOINTS: Final = 50
_ENDPOINT_ID: Final = re.compile(ENDPOINT_ID)
_MAX_BODY_BYTES: Final = 65_536
_BODY_SECONDS: Final = 10.0
IDEMPOTENCY_KEY: Final = key_param(
    "A repeated request with the same key and values returns the same endpoint, with "
    "`Idempotent-Replayed: true`; one with other values is refused. A default that is sent is the same as "
    "one that is left out. Keys belong to your tenant, and are kept as long as the endpoint."
)


async def create(request: Request, key: Key, params: Params) -> Response:
    """201 and the endpoint with its secret and the values of its headers, which are shown only once."""
    wanted = await read(request, key, EndpointRequest)
    state = state_of(request)
    resources = state.resources
    idempotency = to_store(resources.keyring, params[IDEMPOTENCY_KEY], wanted)
    known = resources.endpoints
    if idempotency is not None and (earlier := await known.created_with(key.tenant, idempotency.key)):
        return await _replayed(resources, earlier, wanted)
    warnings = await resolved(state, key.tenant, wanted.url)
    endpoint = Endpoint(
        id=resources.environment.new_endpoint_id(),
        tenant=key.tenant,
        url=wanted.url,
        events=tuple(dict.fromkeys(wanted.events)),
        kid=resources.keyring.active_kid,
        created_at=resources.environment.now_ms(),
        description=wanted.description,
        schedule=None if wanted.schedule is None else tuple(wanted.schedule),
        slots=wanted.slots,
        idempotency=idempotency,
    )
    endpoint = sealing.with_headers(resources.keyring, endpoint, wanted.headers)
    made = await resources.endpoints.create(endpoint, MAX_ENDPOINTS)
    if made is None:
        raise Conflict(f"there are {MAX_ENDPOINTS} endpoints, which is the maximum; delete one first")
    if made.id != endpoint.id:  # another request with the same key was faster
        return await _replayed(resources, made, wanted)
    return await _created(resources, made, wanted, warnings)


async def _replayed(resources: Resources, earlier: Endpoint, wanted: EndpointRequest) -> Response:
    """The answer for an endpoint that an earlier request with the same key created. IdempotencyMismatch if
    that had another body."""
    check_same(resources.keyring, earlier, wanted)
    return await _created(resources, earlier, wanted, [], REPLAYED)


async def _created(
    resources: Resources,
    endpoint: Endpoint,
    wanted: EndpointRequest,
    warnings: Sequence[Notice],
    also: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    shown = await view(resources, endpoint)
    try:
        secret = endpoint_secret(resources.keyring, endpoint.kid, endpoint.id, endpoint.version)
        if sealing.headers_of(resources.keyring, endpoint) == wanted.headers:  # not changed since
            shown["headers"] = wanted.headers
    except ConfigurationError as error:
        raise Conflict(
            f"the endpoint {endpoint.id} exists, but {error}; POST /v1/endpoints/{endpoint.id}/rotate and "
            "PATCH its headers"
        ) from None
    created: schemas.CreatedEndpoint = {**shown, "warnings": warnings_view(warnings), "secret": secret}
    return json_answer(created, 201, {"location": f"/v1/endpoints/{endpoint.id}", **also})


async def page(request: Request, key: Key, _: Params) -> Response:
    """All of the tenant's endpoints, at most MAX_ENDPOINTS."""
    resources = state_of(request).resources
    found = await resources.endpoints.of(key.tenant)
    listed: schemas.EndpointList = {"object": "list", "data": await views(resources, found)}
    return json_answer(listed)


async def show(request: Request, key: Key, _: Params) -> Response:
    endpoint = await owned(request, key)
    return json_answer(await view(state_of(request).resources, endpoint))


async def delete(request: Request, key: Key, _: Params) -> Response:
    """204. Pending deliveries to the endpoint are no longer sent."""
    endpoint = await owned(request, key)
    await state_of(request).resources.endpoints.delete(endpoint)
    return Response(status_code=204)


async def owned(request: Request, key: Key) -> Endpoint:
    """The endpoint in the path. NotFound if it does not exist or belongs to another tenant."""
    name = request.path_params["endpoint_id"]
    if not _ENDPOINT_ID.fullmatch(name):
        raise NotFound("endpoint", "of this form; ids look like ep_ and 26 letters and digits")
    endpoint = await state_of(request).resources.endpoints.read(key.tenant, name)
    if endpoint is None:
        raise NotFound("endpoint", name)
    return endpoint


async def read(request: Request, key: Key, model: type[M]) -> M:
    """The request's body as the model. InvalidRequest lists everything that is wrong with it."""
    state = state_of(request)
    async with JsonBody(request, key.tenant, state.budget, _MAX_BODY_BYTES, _BODY_SECONDS) as raw:
        with allowing(await state.resources.tenants.networks(key.tenant)):
            return parse(raw, model, state.guard)


async def resolved(state: State, tenant: str, url: str) -> list[Notice]:
    """Warnings about the URL. InvalidRequest if its name resolves to a forbidden address. Done last, because
    the lookup takes time."""
    with allowing(await state.resources.tenants.networks(tenant)), on_behalf_of(tenant):
        fault, warning = await check_resolved_target(state.guard, "url", url)
    if fault is not None:
        raise InvalidRequest([fault])
    return [] if warning is None else [warning]
