"""What an operation becomes: a route, with its check of the key and of the parameters."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.doors import NAMES
from gateway.tenants import Key, Scope
from gateway.web.api.routes import API
from gateway.web.app import opened
from gateway.web.doors.routes import OF_DOORS
from gateway.web.http.params import Params, integer
from gateway.web.openapi import door_documents
from gateway.web.operation import PUBLIC, Operation, routes
from gateway.web.pages.routes import PAGES
from tests.gateway.web.conftest import MakeKey, connected

LIMIT = integer("limit", "At most.", 1, 10, 5)


async def open_to_all(_: Request) -> Response:
    return Response(b"open")


async def keyed(_: Request, key: Key, params: Params) -> Response:
    return Response(f"{key.tenant} {params[LIMIT]}".encode())


OPERATIONS = (
    Operation("GET", "/open", "getOpen", "", open_to_all, {}, PUBLIC),
    Operation("GET", "/stream", "streamOpen", "", open_to_all, {}, PUBLIC, head=False),
    Operation("POST", "/things/check", "checkThing", "", open_to_all, {}, PUBLIC),
    Operation("GET", "/things/{thing}", "getThing", "", open_to_all, {}, PUBLIC),
    Operation("GET", "/keyed", "getKeyed", "", keyed, {}, (Scope.JOBS_READ,), query=(LIMIT,)),
    Operation("PUT", "/keyed", "putKeyed", "", keyed, {}, (Scope.JOBS_WRITE, Scope.OPS_WRITE)),
)


@pytest.fixture
def client(app: Starlette) -> httpx.AsyncClient:
    """Of an application that has these operations and no others."""
    app.router.routes[:] = routes(OPERATIONS)
    return connected(app)


def test_every_route_is_made_from_an_operation(app: Starlette) -> None:
    apart = ("/docs", "/openapi.json", *map(door_documents.path_of, OF_DOORS), *PAGES)
    served = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route) and route.path not in apart
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert served == {(operation.method, operation.path) for operation in opened(NAMES)}


def test_two_operations_for_one_method_of_a_path_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two operations for GET /keyed"):
        routes([*OPERATIONS, OPERATIONS[-2]])


def test_only_these_operations_take_no_key() -> None:
    assert {operation.path for operation in opened(NAMES) if not operation.scopes} == {
        *(
            "/livez",
            "/readyz",
            "/metrics",
            "/callbacks/{token}",
            "/callbacks/probe/{token}",
            "/media/{token}",
        ),
        *("/api/v1/skill/models", "/api/v1/skill/models/{model}/spec"),
    }


def test_an_id_names_one_operation() -> None:
    assert len({operation.id for operation in API}) == len(API)


async def test_a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.delete("/keyed")
    assert answer.status_code == 405
    assert answer.json()["detail"] == "use GET or PUT"


async def test_a_name_is_not_taken_for_an_id_by_a_method_that_it_does_not_have(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.post("/things/check")).text == "open"
    answer = await client.get("/things/check")
    assert (answer.status_code, answer.json()["detail"]) == (405, "use POST")
    assert (await client.get("/things/other")).text == "open"


async def test_head_goes_where_get_goes_unless_it_is_a_stream(client: httpx.AsyncClient) -> None:
    assert (await client.head("/open")).status_code == 200
    answer = await client.head("/stream")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert (await client.get("/stream")).status_code == 200


async def test_the_handler_gets_the_key_and_the_parameters(app: Starlette, make_key: MakeKey) -> None:
    app.router.routes[:] = routes(OPERATIONS)
    async with connected(app, await make_key(scopes=[Scope.JOBS_READ])) as client:
        assert (await client.get("/keyed?limit=7")).text == "acme 7"
        assert (await client.get("/keyed")).text == "acme 5"
        assert (await client.get("/keyed?limit=11")).status_code == 400
        assert (await client.put("/keyed")).status_code == 403
    async with connected(app, await make_key(scopes=[Scope.OPS_WRITE])) as client:
        assert (await client.put("/keyed")).status_code == 200
        assert (await client.put("/keyed?limit=7")).status_code == 400


async def test_a_key_is_needed_before_a_parameter_is_read(client: httpx.AsyncClient) -> None:
    assert (await client.get("/keyed?limit=11")).status_code == 401
