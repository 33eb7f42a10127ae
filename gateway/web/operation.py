"""An HTTP operation, declared once: its route, required scopes, parameters and documentation."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from gateway.doors.base import Door
from gateway.errors import GatewayError, RateLimited, StoreUnavailable
from gateway.store.base import Allowance
from gateway.tenants import Key, Scope
from gateway.web import auth
from gateway.web.http.params import Param, Params, Reader
from gateway.web.http.problems import ALLOWANCE, DOOR
from gateway.web.http.rate_headers import rate_headers
from gateway.web.state import state_of

Document = dict[str, Any]
Handler = Callable[[Request, Key, Params], Awaitable[Response]]
#: Its key is None if the request has the parameter that may replace it.
LinkedHandler = Callable[[Request, Key | None, Params], Awaitable[Response]]
OpenHandler = Callable[[Request], Awaitable[Response]]
_Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Reply:
    """A documented response. `schema`: a TypedDict, a model, or a JSON schema; None: no body. `lines`: for
    JSON Lines, the TypedDict of each line; then `schema` is None. `csv`: it may also be CSV."""

    description: str
    schema: Any = None
    headers: Mapping[str, Document] = field(default_factory=dict)
    media_type: str = "application/json"
    lines: Any = None
    csv: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    `scopes`: a key with any of them may call it. `PUBLIC`: no key is needed, and the handler gets only the
    request. `problems`: error statuses in addition to those that every such operation has. `hints`: likely
    wrong names of query parameters, and what to do instead. `head`: whether a GET also answers HEAD. `body`:
    a model, or the JSON schema of a body that the handler parses itself. `content`: the schemas of a body
    that is not JSON, by media type. `counted`: whether it counts for the tenant's rate of requests in this
    gateway; if not, it counts only when it is refused or replayed.
    `metered`: the kind of request as which it counts against the tenant's rate in all gateways, before the
    handler runs. `door`: the API that it belongs to, if not ours; it words every error.
    handler runs. `signature`: a query parameter that may replace the key; then the handler is a
    `LinkedHandler` that checks it.
    """

    method: str
    path: str
    id: str
    summary: str
    handler: Handler | OpenHandler | LinkedHandler
    replies: Mapping[int, Reply]
    scopes: tuple[Scope, ...]
    tag: str = ""
    description: str = ""
    query: tuple[Param[Any], ...] = ()
    headers: tuple[Param[Any], ...] = ()
    hints: Mapping[str, str] = field(default_factory=dict)
    body: type[BaseModel] | Document | None = None
    content: Mapping[str, Document] = field(default_factory=dict)
    body_required: bool = True
    examples: Document = field(default_factory=dict)
    problems: tuple[int, ...] = ()
    head: bool = True
    counted: bool = True
    metered: str | None = None
    door: Door | None = None
    signature: Param[Any] | None = None


#: The scopes of an operation that anybody may call.
PUBLIC: Final[tuple[Scope, ...]] = ()
RETRY_AFTER: Final = {
    "description": "Seconds to wait before the next request.",
    "schema": {"type": "integer"},
}
LOCATION: Final = {"Location": {"description": "Path of the resource.", "schema": {"type": "string"}}}


def routes(operations: Iterable[Operation]) -> list[Route]:
    """One route per path, so that a 405 lists all of its methods. The first match wins: `/jobs/check` comes
    before `/jobs/{job_id}`."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        by_method = by_path.setdefault(operation.path, {})
        if operation.method in by_method:
            raise ValueError(f"two operations for {operation.method} {operation.path}")
        by_method[operation.method] = operation
    return [_route(path, by_method) for path, by_method in by_path.items()]


class _Path(Route):
    """Answers all methods of its path, if necessary with 405, so that no later matching route is tried."""

    door: Door | None = None

    def matches(self, scope: MutableMapping[str, Any]) -> tuple[Match, MutableMapping[str, Any]]:
        match, child = super().matches(scope)
        if self.door is not None:
            child[DOOR] = self.door
        return (Match.FULL if match is Match.PARTIAL else match), child


def _route(path: str, by_method: Mapping[str, Operation]) -> Route:
    served = {method: _handler_of(operation) for method, operation in by_method.items()}
    door = next(iter(by_method.values())).door
    if "GET" in served and by_method["GET"].head:
        served["HEAD"] = served["GET"]

    async def dispatch(request: Request) -> Response:
        if door is not None:  # not set yet, if the route was looked up directly
            request.scope[DOOR] = door
        serve = served.get(request.method)
        if serve is None:  # a HEAD: Starlette allows it on every route with GET
            raise HTTPException(405, headers={"allow": ", ".join(served)})
        return await serve(request)

    route = _Path(path, dispatch, methods=list(served))
    route.door = door
    return route


def _handler_of(operation: Operation) -> _Endpoint:
    if not operation.scopes:
        return cast(OpenHandler, operation.handler)
    handler = cast(Handler, operation.handler)
    scopes = operation.scopes
    schemes = operation.door.schemes if operation.door else (b"bearer",)
    read = Reader(operation.query, operation.headers, hints=operation.hints).read

    async def serve(request: Request) -> Response:
        if operation.signature is not None and operation.signature.name in request.query_params:
            return await cast(LinkedHandler, operation.handler)(request, None, read(request))
        key = await auth.require(request, *scopes, schemes=schemes)
        if operation.counted:
            auth.limit_requests(state_of(request), key.tenant)
            return await answer(request, key)
        try:
            response = await answer(request, key)
        except (GatewayError, HTTPException) as error:
            auth.limit_requests(state_of(request), key.tenant)
            if not isinstance(error, StoreUnavailable | RateLimited):
                request.scope[ALLOWANCE] = await _left(request, key)
            raise
        if "idempotent-replayed" in response.headers:
            auth.limit_requests(state_of(request), key.tenant)
            response.headers.update(rate_headers(await _left(request, key)))
        return response

    async def answer(request: Request, key: Key) -> Response:
        params = read(request)
        if operation.metered is None:
            return await handler(request, key, params)
        allowance = None
        with contextlib.suppress(StoreUnavailable):  # a handler that needs the store says so itself
            allowance = await state_of(request).resources.rate_meter.count(key.tenant, operation.metered)
            request.scope[ALLOWANCE] = allowance
        response = await handler(request, key, params)
        response.headers.update(rate_headers(allowance))
        return response

    return serve


async def _left(request: Request, key: Key) -> Allowance | None:
    """What the tenant may still send of jobs, after a request that sent none; None if nobody can say."""
    with contextlib.suppress(StoreUnavailable):
        return await state_of(request).resources.rate_meter.look(key.tenant, "jobs")
    return None
