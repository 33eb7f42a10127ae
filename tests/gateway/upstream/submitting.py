"""A submit to a scripted server, as the tests of the paid POST make it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pydantic import SecretStr

from gateway.environment import no_crash_point
from gateway.upstream.base import Gate, SubmitOutcome
from gateway.upstream.http import HttpUpstream
from gateway.upstream.proxy import Proxy
from gateway.upstream.vtrix import VtrixDialect
from tests.gateway.upstream.scripted import ACCEPTED, Connection, Script, ScriptedServer, scripted

Reach = Callable[[str], Awaitable[None]]
KEY = "sk-canary-7f3a"
SMALL: dict[str, object] = {
    "prompt": "a hero at dusk",
    "images": ["https://cdn.example.com/hero.png"],
    "duration": 0,
}
#: More than loopback's socket buffers hold, so that a server which does not read stops the upload.
LARGE: dict[str, object] = {
    "prompt": "a hero at dusk",
    "images": ["data:image/png;base64," + "A" * 12_000_000],
}


class CountingGate:
    """A gate that opens at once."""

    def __init__(self) -> None:
        self.passed = 0

    async def __call__(self) -> None:
        self.passed += 1


def upstream_at(
    url: str,
    *,
    upload_seconds: float = 20.0,
    response_seconds: float = 20.0,
    connect_seconds: float = 20.0,
    proxy: Proxy | None = None,
    reach: Reach = no_crash_point,
) -> HttpUpstream:
    return HttpUpstream(
        VtrixDialect(),
        url,
        SecretStr(KEY),
        upload_seconds=upload_seconds,
        response_seconds=response_seconds,
        connect_seconds=connect_seconds,
        proxy=proxy,
        reach=reach,
    )


async def submit(
    upstream: HttpUpstream, gate: Gate, params: dict[str, object] | None = None
) -> SubmitOutcome:
    return await upstream.submit(
        params or {**SMALL},
        model="m",
        callback_url="https://gw.example.com/callbacks/t",
        reference="r1",
        gate=gate,
    )


@asynccontextmanager
async def meeting(
    script: Script,
    *,
    upload_seconds: float = 20.0,
    response_seconds: float = 20.0,
    reach: Reach = no_crash_point,
) -> AsyncIterator[tuple[HttpUpstream, ScriptedServer]]:
    async with scripted(script) as server:
        upstream = upstream_at(
            server.url, upload_seconds=upload_seconds, response_seconds=response_seconds, reach=reach
        )
        async with upstream:
            yield upstream, server


def last_byte_in_the_gate() -> tuple[Script, Gate]:
    """A server that accepts, and a gate that waits for all but the last byte to have arrived there."""
    arrived, last = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.read(connection.length - 1)
        arrived.set()
        await connection.read()
        last.set()
        await connection.answer(200, ACCEPTED)

    async def gate() -> None:
        await arrived.wait()
        assert not last.is_set()

    return script, gate
