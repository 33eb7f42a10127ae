"""The application in this process, on the real server, and clients of two tenants."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette

from gateway.resources import Resources
from gateway.settings import Settings
from gateway.store import keys
from gateway.tenants import CLIENT_SCOPES, Key, Scope, digest_of, new_key
from gateway.web.app import create_app
from gateway.web.state import State

BODY = {
    "model": "viduq2_pro_reference",
    "images": ["https://cdn.example.com/hero.png"],
    "prompt": "The hero walks along the shore",
}

MakeKey = Callable[..., Awaitable[str]]


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Starlette]:
    """The application as a server runs it: started, and stopped."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


def connected(app: Starlette, key: str | None = None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway", headers=headers, timeout=30
    )


def without_request_id(answer: httpx.Response) -> str:
    return re.sub(r'"request_id":"[^"]*"', "", answer.text)


@pytest.fixture
async def app(settings: Settings, empty_redis: None) -> AsyncIterator[Starlette]:
    async with serving(settings) as started:
        yield started


@pytest.fixture
def state(app: Starlette) -> State:
    found: State = app.state.gateway
    return found


async def add_key(resources: Resources, tenant: str, scopes: Iterable[Scope] = CLIENT_SCOPES) -> str:
    """The text of a new key, which is no audit entry."""
    key_id, secret, text = new_key(resources.environment.entropy)
    key = Key(key_id, tenant, frozenset(scopes), digest_of(secret), "test", 1_700_000_000_000)
    await resources.client_keys.add(key, by="test")
    for log in (keys.AUDIT, keys.OPS_EVENTS):
        [(entry, _)] = await resources.redis.xrevrange(log, count=1)
        await resources.redis.xdel(log, entry)
    return text


@pytest.fixture
def make_key(resources: Resources) -> MakeKey:
    """`await make_key(tenant, scopes)` -> the text of a new key."""

    async def make(tenant: str = "acme", scopes: Iterable[Scope] = CLIENT_SCOPES) -> str:
        return await add_key(resources, tenant, scopes)

    return make


@pytest.fixture
async def client(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the tenant acme."""
    async with connected(app, await make_key()) as opened:
        yield opened


@pytest.fixture
async def stranger(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another tenant."""
    async with connected(app, await make_key("other")) as opened:
        yield opened


@pytest.fixture
async def nobody(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    async with connected(app) as opened:
        yield opened
