"""An operation is found by one look-up, and it is the one that Starlette's list would find."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from gateway.errors import NotFound
from gateway.web.api.routes import API
from gateway.web.http.problems import Refusal
from gateway.web.operation import PUBLIC, Operation, routes
from gateway.web.ops.routes import OPS
from gateway.web.server.direct_routes import DirectRoutes

HOT = {"/v1/jobs", "/v1/jobs/check", "/v1/jobs/{job_id}", "/callbacks/{token}"}


async def text_of(request: Request) -> Response:
    return Response(f"{request.method} {request.path_params}")


async def missing(_: Request) -> Response:
    raise NotFound("job", "x")


async def refused(_: Request) -> Response:
    raise Refusal(413, "too large")


async def broken(_: Request) -> Response:
    async def parts() -> Any:
        yield b"begun"
        raise NotFound("job", "x")

    return StreamingResponse(parts())


OPERATIONS = (
    Operation("GET", "/things/first", "first", "", text_of, {}, PUBLIC),
    Operation("GET", "/things/{thing}", "getThing", "", text_of, {}, PUBLIC),
    Operation("GET", "/things/last", "last", "", missing, {}, PUBLIC),
    Operation("GET", "/things/{thing}/parts/{part}", "getPart", "", text_of, {}, PUBLIC),
    Operation("GET", "/missing", "missing", "", missing, {}, PUBLIC),
    Operation("POST", "/refused", "refused", "", refused, {}, PUBLIC),
    Operation("GET", "/broken", "broken", "", broken, {}, PUBLIC),
)


async def not_direct(scope: Scope, receive: Receive, send: Send) -> None:
    await Response("not direct")(scope, receive, send)


@pytest.fixture
def client() -> httpx.AsyncClient:
    transport = httpx.ASGITransport(DirectRoutes(not_direct, routes(OPERATIONS)))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def first_match(among: list[Route], path: str) -> tuple[Route, dict[str, str]]:
    for route in among:
        match, scope = route.matches({"type": "http", "method": "GET", "path": path, "root_path": ""})
        if match is not Match.NONE:
            return route, scope["path_params"]
    raise AssertionError(path)


def test_every_path_leads_where_the_list_leads() -> None:
    among = routes([*API, *OPS])
    direct = DirectRoutes(Starlette(), among)
    found = {}
    for route in among:
        path = re.sub(r"\{.*?\}", "x%2Fy", route.path)
        if (one := direct._find(path)) is not None:
            assert one == first_match(among, path)
            found[one[0].path] = one
    assert set(found) >= HOT  # the busiest


async def test_the_parameter_of_a_path_is_read(client: httpx.AsyncClient) -> None:
    assert (await client.get("/things/first")).text == "GET {}"
    assert (await client.get("/things/a%20b")).text == "GET {'thing': 'a b'}"
    assert (await client.head("/things/x")).status_code == 200


async def test_the_first_of_two_routes_wins(client: httpx.AsyncClient) -> None:
    assert (await client.get("/things/last")).text == "GET {'thing': 'last'}"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/things/"),
        ("GET", "/things"),
        ("GET", "/things/a%2Fb"),
        ("GET", "/things/a/parts/b"),
        ("GET", "/nothing"),
        ("GET", "/first"),
        ("DELETE", "/things/first"),
    ],
)
async def test_what_needs_the_list_is_left_to_it(client: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await client.request(method, path)).text == "not direct"


async def test_an_error_is_a_problem_document(client: httpx.AsyncClient) -> None:
    answer = await client.get("/missing")
    assert (answer.status_code, answer.json()["title"]) == (404, "Not found")
    answer = await client.post("/refused")
    assert (answer.status_code, answer.json()["detail"]) == (413, "too large")


async def test_an_error_in_a_response_that_has_begun_is_not_a_second_response(
    client: httpx.AsyncClient,
) -> None:
    with pytest.raises(NotFound):
        await client.get("/broken")
