"""Bodies that are too large, too slow, too many, or not JSON: refused, and never read for nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from gateway.errors import LimitReached, Unavailable
from gateway.local import shared_memory
from gateway.local.shared_memory import Shared
from gateway.web.http import bodies
from gateway.web.http.bodies import FREE_BYTES, ByteBudget, JsonBody
from gateway.web.http.headers import gather
from gateway.web.http.problems import Refusal
from gateway.web.state import State
from tests.gateway.local.test_shared_memory import held_by
from tests.gateway.web.conftest import BODY

JSON = {"Content-Type": "application/json"}


class Incoming:
    """A request whose body comes as planned; `read` counts the parts that were asked for."""

    def __init__(self, *parts: bytes | None, **headers: str) -> None:
        """None: nothing more ever comes."""
        self.parts = list(parts)
        self.read = 0
        self.stuck = asyncio.Event()
        named = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        raw = [(name.encode(), value.encode()) for name, value in named.items()]
        scope = {"type": "http", "method": "POST", "headers": raw}
        gather(scope)
        self.request = Request(scope, self._receive)

    async def _receive(self) -> dict[str, Any]:
        self.read += 1
        part = self.parts.pop(0)
        if part is None:
            self.stuck.set()
            await asyncio.Event().wait()
        return {"type": "http.request", "body": part, "more_body": bool(self.parts)}


def body(
    incoming: Incoming, budget: ByteBudget, seconds: float = 5, most: int = 1000, tenant: str = "acme"
) -> JsonBody:
    return JsonBody(incoming.request, tenant, budget, most, seconds)


async def refused(incoming: Incoming, budget: ByteBudget, seconds: float = 5) -> int:
    with pytest.raises(Refusal) as caught:
        async with body(incoming, budget, seconds):
            raise AssertionError("it was read")
    assert budget.used == 0
    return caught.value.status_code


async def test_a_body_in_parts_is_read_whole() -> None:
    budget = ByteBudget()
    async with body(Incoming(b"ab", b"", b"cd"), budget) as raw:
        assert raw == b"abcd"
    assert budget.used == 0


async def test_a_declared_length_beyond_the_limit_is_413_before_a_byte_is_read() -> None:
    incoming = Incoming(b"x", content_length="1001")
    assert await refused(incoming, ByteBudget()) == 413
    assert incoming.read == 0


async def test_an_undeclared_length_is_413_at_the_first_part_too_many() -> None:
    incoming = Incoming(b"x" * 600, b"x" * 600, b"x")
    assert await refused(incoming, ByteBudget()) == 413
    assert incoming.read == 2


async def test_a_body_that_does_not_arrive_in_time_is_408() -> None:
    assert await refused(Incoming(b"x", None), ByteBudget(), seconds=0.02) == 408


async def test_a_body_that_is_not_json_or_is_encoded_is_415_unread() -> None:
    for headers in (
        {"content_type": "text/plain"},
        {"content_type": ""},
        {"content_encoding": "gzip"},
        {"content_encoding": "identity, br"},
    ):
        incoming = Incoming(b"{}", **headers)
        assert await refused(incoming, ByteBudget()) == 415
        assert incoming.read == 0


async def test_a_charset_beside_the_media_type_is_no_matter() -> None:
    async with body(Incoming(b"{}", content_type="Application/JSON; charset=utf-8"), ByteBudget()) as raw:
        assert raw == b"{}"


BIG = 2 * FREE_BYTES


async def test_a_body_is_counted_as_it_arrives_and_not_as_it_is_declared() -> None:
    budget = ByteBudget()
    incoming = Incoming(b"x" * BIG, None, content_length=str(2 * BIG))

    async def post() -> None:
        async with body(incoming, budget, most=2 * BIG):
            raise AssertionError("it was read")

    reading = asyncio.create_task(post())
    async with asyncio.timeout(60):
        await incoming.stuck.wait()
    assert budget.used == BIG
    reading.cancel()
    await asyncio.wait([reading])
    assert budget.used == 0


async def test_connections_that_send_nothing_take_no_room() -> None:
    budget = ByteBudget(capacity=0)
    with pytest.raises(Refusal):
        async with body(Incoming(None, content_length="1000"), budget, seconds=0.02):
            pass


async def test_a_body_for_whose_tenant_there_is_no_row_holds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_memory, "_ROWS", 2)
    budget = ByteBudget(10)
    assert budget.held.take("busy", 1)
    assert not budget.held.take("bytes of bodies", 0)
    with pytest.raises(Unavailable):
        budget.take("acme", 1)
    assert budget.used == 0


async def test_a_small_body_is_read_however_crowded_the_process_is() -> None:
    budget = ByteBudget(capacity=0)
    async with body(Incoming(b"x" * FREE_BYTES), budget, most=BIG) as raw:
        assert len(raw) == FREE_BYTES


async def test_no_more_large_bodies_are_read_at_once_than_there_is_memory_for() -> None:
    budget = ByteBudget(capacity=4 * BIG)
    async with contextlib.AsyncExitStack() as stack:
        for tenant in "abcd":
            await stack.enter_async_context(body(Incoming(b"x" * BIG), budget, most=BIG, tenant=tenant))
        with pytest.raises(Unavailable):
            async with body(Incoming(b"x" * BIG), budget, most=BIG, tenant="e"):
                pass
        assert budget.used == 4 * BIG
    assert budget.used == 0


async def test_one_tenant_has_a_quarter_of_the_memory_and_the_others_the_rest() -> None:
    budget = ByteBudget(capacity=4 * BIG)
    async with body(Incoming(b"x" * BIG), budget, most=BIG):
        with pytest.raises(LimitReached):
            async with body(Incoming(b"x" * BIG), budget, most=BIG):
                pass
        async with body(Incoming(b"x" * BIG), budget, most=BIG, tenant="other") as raw:
            assert len(raw) == BIG
    async with body(Incoming(b"x" * BIG), budget, most=BIG) as raw:
        assert len(raw) == BIG


@pytest.mark.parametrize(
    ("size", "most", "seconds"), [(0, 60, 10), (2_560_000, 60, 20), (20_000_000, 60, 60), (0, 5, 5)]
)
def test_a_body_has_ten_seconds_and_more_by_its_size(size: int, most: float, seconds: float) -> None:
    assert bodies.seconds_for(size, most) == seconds


async def test_a_body_that_stalls_is_408_long_before_the_longest_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "FIRST_SECONDS", 0.02)
    assert await refused(Incoming(b"x", None), ByteBudget(), seconds=60) == 408
    assert await refused(Incoming(b"x", None, content_length="1000"), ByteBudget(), seconds=60) == 408


async def test_an_oversize_post_is_413_and_ends_the_connection(client: httpx.AsyncClient) -> None:
    headers = JSON | {"Content-Length": "20000001"}

    async def parts() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answer = await client.post("/v1/jobs", content=parts(), headers=headers)
    assert answer.status_code == 413
    assert "about 14.9 MB together before Base64; give larger ones as URLs" in answer.json()["detail"]
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("path", ["/v1/endpoints", f"/v1/endpoints/ep_{'0' * 26}/recover"])
async def test_the_way_out_of_a_413_fits_what_was_asked(client: httpx.AsyncClient, path: str) -> None:
    if path.endswith("recover"):
        made = await client.post("/v1/endpoints", json={"url": "https://hooks.example.com/x"})
        path = f"/v1/endpoints/{made.json()['id']}/recover"
    answer = await client.post(path, content=b" " * 65_537, headers=JSON)
    assert answer.status_code == 413
    assert answer.json()["detail"] == "the body is larger than 65536 bytes; send a smaller one"


async def test_a_crowded_process_answers_503_with_retry_after(
    client: httpx.AsyncClient, state: State
) -> None:
    large = {**BODY, "payload": "x" * FREE_BYTES}
    for tenant in "abcd":
        state.budget.take(tenant, state.budget.capacity // 4)
    answer = await client.post("/v1/jobs", json=large)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert (await client.post("/v1/jobs", json=BODY)).status_code == 202
    for tenant in "abcd":
        state.budget.give(tenant, state.budget.capacity // 4)
    assert (await client.post("/v1/jobs", json=large)).status_code == 202
    assert state.budget.used == 0


HOSTILE = {
    "empty": b"",
    "not json": b"{",
    "duplicate keys": b'{"model": "a", "model": "b"}',
    "NaN": b'{"model": NaN}',
    "a number beyond doubles": b'{"duration": 1e999}',
    "a very long integer": b'{"seed": ' + b"9" * 5000 + b"}",
    "a depth bomb": b"[" * 100_000 + b"]" * 100_000,
    "an unclosed depth bomb": b'{"a":' * 100_000,
    "a lone surrogate": b'{"prompt": "\\ud800"}',
    "not utf-8": b'{"prompt": "\xff"}',
    "utf-16": '{"prompt": "x"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"prompt": "x"}',
    "a million values": b'{"images": [' + b"1," * 999_999 + b"1]}",
    "a string": b'"model"',
    "null": b"null",
}


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/endpoints"])
@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_json_is_refused(client: httpx.AsyncClient, path: str, raw: bytes) -> None:
    answer = await client.post(path, content=raw, headers=JSON)
    assert answer.status_code in (400, 413, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] or answer.status_code == 413


async def test_a_nul_in_a_text_is_kept_as_it_is(app: Starlette, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/jobs", json={**BODY, "payload": "a\x00b\u2028"})
    assert answer.status_code == 202
    assert (await client.get(answer.headers["location"])).json()["payload"] == "a\x00b\u2028"


async def test_a_tenant_has_a_quarter_of_the_memory_of_all_processes() -> None:
    shared = Shared(2)
    first, second = (ByteBudget(4 * BIG, held_by(shared, slot)) for slot in range(2))
    async with body(Incoming(b"x" * BIG), first, most=BIG):
        with pytest.raises(LimitReached):
            async with body(Incoming(b"x" * BIG), second, most=BIG):
                pass
        async with body(Incoming(b"x" * BIG), second, most=BIG, tenant="other") as raw:
            assert len(raw) == BIG
        assert (first.used, second.used) == (BIG, BIG)
    async with body(Incoming(b"x" * BIG), second, most=BIG) as raw:
        assert len(raw) == BIG
