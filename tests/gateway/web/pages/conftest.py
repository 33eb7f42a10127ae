"""A browser without a screen: it keeps cookies and sends forms."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from gateway.tenants import Scope
from gateway.web.http.headers import gather
from gateway.web.pages import sessions
from gateway.web.state import State
from tests.gateway.web.conftest import MakeKey, connected

Send = Callable[..., Awaitable[httpx.Response]]
TOKEN = re.compile(r'name="token" value="([0-9a-f]+)"')


async def sign_in(browser: httpx.AsyncClient, key: str, following: str = "/ops") -> httpx.Response:
    return await browser.post("/ops/login", data={"key": key, "next": following})


@pytest.fixture
async def browser(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    """Signed in as an operator who may change things."""
    async with connected(app) as opened:
        await sign_in(opened, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE]))
        yield opened


@pytest.fixture
async def onlooker(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    """Signed in as one who may only read."""
    async with connected(app) as opened:
        await sign_in(opened, await make_key("platform", [Scope.OPS_READ]))
        yield opened


@pytest.fixture
async def token(browser: httpx.AsyncClient) -> str:
    """What the forms of this session carry."""
    found = TOKEN.search((await browser.get("/ops/upstream")).text)
    assert found
    return found[1]


def live_request(browser: httpx.AsyncClient, state: State) -> Request:
    """A request for the live stream with the browser's cookie."""
    cookie = f"{sessions.COOKIE}={browser.cookies[sessions.COOKIE]}".encode()
    app = SimpleNamespace(state=SimpleNamespace(gateway=state))
    scope: dict[str, object] = {"type": "http", "method": "GET", "path": "/ops/live", "query_string": b""}
    scope |= {"app": app, "headers": [(b"host", b"gateway"), (b"cookie", cookie)]}
    gather(scope)
    return Request(scope)
