"""Heads of requests that the parser alone would misread: offered upgrades, targets, and framing."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from gateway.settings import Settings
from gateway.web.server.protocol import HardenedProtocol
from tests.gateway.web.conftest import BODY, MakeKey, connected, serving
from tests.gateway.web.live import listening
from tests.gateway.web.server import raw
from tests.gateway.web.server.raw import GET, GOODBYE, POST, exchange, served, statuses

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
SIZED = POST + H2C + b"Content-Length: 4\r\n\r\nbody"
CHUNKED = POST + H2C + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
WEBSOCKET = b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"


def document(answer: bytes) -> Any:
    """The problem document of the last response."""
    head, _, body = answer[answer.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    return orjson.loads(body)


@pytest.mark.parametrize(
    ("parts", "answers"),
    [
        ((SIZED,), [b"/a 4"]),
        ((CHUNKED,), [b"/a 4"]),
        ((SIZED + GET + CHUNKED + SIZED,), [b"/a 4", b"/a 0", b"/a 4", b"/a 4"]),
        ((GET, SIZED, GET), [b"/a 0", b"/a 4", b"/a 0"]),
        ((SIZED[:-4], SIZED[-4:-2], SIZED[-2:]), [b"/a 4"]),
        ((SIZED[:30], SIZED[30:60], SIZED[60:]), [b"/a 4"]),
        ((GET[:-2] + H2C + b"\r\n", GET), [b"/a 0", b"/a 0"]),
        ((SIZED.replace(b"h2c", b"TLS/1.0, IRC/6.9"),), [b"/a 4"]),
        ((SIZED.replace(b"Upgrade: h2c\r\n", b"Upgrade: h2c\r\nUpgrade: other\r\n"),), [b"/a 4"]),
        ((SIZED.replace(b"HTTP/1.1", b"HTTP/1.0"),), [b"/a 4"]),
    ],
)
async def test_an_offered_upgrade_is_ignored_and_the_body_is_read(
    parts: tuple[bytes, ...], answers: list[bytes]
) -> None:
    async with raw.serving(HardenedProtocol) as port:
        answer = await served(port, *parts)
    assert statuses(answer) == [200] * len(answers)
    assert re.findall(rb"/a [0-9]", answer) == answers


async def test_a_client_that_sends_byte_by_byte_may_offer_an_upgrade() -> None:
    async with raw.serving(HardenedProtocol) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for at in range(len(SIZED)):
            writer.write(SIZED[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            assert statuses(await reader.readuntil(b"/a 4")) == [200]
        writer.transport.abort()


async def test_the_head_of_an_offered_upgrade_has_the_usual_limits() -> None:
    for head in (H2C * 40, H2C + b"X: " + b"a" * 40_000 + b"\r\n", H2C + b"Host: y\r\n"):
        async with raw.serving(HardenedProtocol) as port:
            answer, hung_up = await exchange(port, POST + head + b"Content-Length: 4\r\n\r\nbody")
        assert hung_up
        assert 200 not in statuses(answer)


async def test_a_job_whose_client_offers_http2_is_accepted(settings: Settings, make_key: MakeKey) -> None:
    key, body = await make_key(), orjson.dumps(BODY)
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n"
    with listening(settings) as url:
        for path, status in ((b"/v1/jobs", 202), (b"/v1/jobs/check", 200)):
            sized = head % (path, key.encode()) + H2C + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            last = GOODBYE.replace(b"/goodbye", b"/livez")
            answer, _ = await exchange(urlsplit(url).port or 0, sized, last, patience=30)
            assert statuses(answer) == [status, 200]


async def test_a_websocket_is_refused_with_the_way_out(settings: Settings, make_key: MakeKey) -> None:
    key = (await make_key()).encode()
    with listening(settings) as url:
        head = b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n" % key
        answer, _ = await exchange(urlsplit(url).port or 0, head + WEBSOCKET + b"\r\n", patience=0.5)
    assert statuses(answer) == [400]
    [fault] = document(answer)["errors"]
    assert (fault["param"], fault["code"]) == ("Upgrade", "not_supported")
    assert "/v1/events" in fault["message"]


async def test_the_hops_of_a_proxy_are_no_offer_of_the_client(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/jobs", headers={"Upgrade": "websocket", "Connection": "keep-alive"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("head", "status", "param"),
    [
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "Transfer-Encoding"),
        (POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", 501, "Transfer-Encoding"),
        (POST + H2C + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "Transfer-Encoding"),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400, None),
        (POST.replace(b"/1.1", b"/1.0") + b"Transfer-Encoding: chunked\r\n\r\n", 400, "Transfer-Encoding"),
        (b"GET /a HTTP/1.1\r\n\r\n", 400, "Host"),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, "Host"),
        (b"GET ftp://x/a HTTP/1.1\r\nHost: x\r\n\r\n", 400, None),
        (b"GET http://u:p@x/a HTTP/1.1\r\nHost: x\r\n\r\n", 400, None),
        (b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n", 400, None),
        (b"GET http://x:99999/a HTTP/1.1\r\nHost: x\r\n\r\n", 400, None),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400, None),
        (b"CONNECT a.example:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400, None),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, None),
        (b"BREW /a HTTP/1.1\r\nHost: x\r\n\r\n", 400, None),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 33_000, 431, None),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, None),
    ],
)
async def test_a_refused_head_gets_a_problem_document(head: bytes, status: int, param: str | None) -> None:
    async with raw.serving(HardenedProtocol) as port:
        answer, hung_up = await exchange(port, head)
    assert hung_up
    assert statuses(answer) == [status]
    found = document(answer)
    assert found["status"] == status
    assert [fault["param"] for fault in found["errors"]] == ([param] if param else [])
    assert status != 431 or "32768 bytes" in found["detail"]


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (b"http://gateway.example.com/v1/jobs", b"evil.example", 401),
        (b"http://gateway.example.com:80/v1/jobs?limit=1", b"evil.example", 401),
        (b"HTTPS://Gateway.Example.Com/v1/jobs", b"evil.example", 401),
        (b"http://gateway.example.com/nothing?x", b"evil.example", 404),
        (b"http://evil.example/v1/jobs", b"gateway.example.com", 400),
        (b"http://[::1]/v1/jobs", b"gateway.example.com", 400),
        (b"//evil.example/v1/jobs", b"gateway.example.com", 404),
    ],
)
async def test_the_host_in_the_target_counts_and_not_the_header(
    settings: Settings, empty_redis: None, target: bytes, host: bytes, status: int
) -> None:
    guarded = settings.model_copy(update={"allowed_hosts": ["gateway.example.com"]})
    with listening(guarded) as url:
        request = b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (target, host)
        answer, _ = await exchange(urlsplit(url).port or 0, request, patience=30)
    assert statuses(answer) == [status]
    assert document(answer)["status"] == status


@pytest.mark.parametrize(
    "host", ["[", "[::1", "[x]", "[]", "]", "a b", "a/b", "a@b", "a:b", "a:1:2", "ä", "\x7f"]
)
@pytest.mark.parametrize("allowed", [[], ["gateway.example.com", "*.example"]])
async def test_a_malformed_host_is_refused_everywhere(
    settings: Settings, empty_redis: None, host: str, allowed: list[str]
) -> None:
    async with (
        serving(settings.model_copy(update={"allowed_hosts": allowed})) as app,
        connected(app) as client,
    ):
        for path in ("/v1/jobs", "/livez", "/ops", "/ops/login", "/nothing"):
            answer = await client.get(path, headers={b"Host": host.encode("latin-1")})
            assert answer.status_code == 400, path
            assert answer.json()["errors"][0]["param"] == "Host"


async def test_an_unusual_host_is_served_where_any_may_be(app: Starlette) -> None:
    async with connected(app) as client:
        for host in ("", "x", "X_1.example.", "[::1]:8080", "127.0.0.1:", "a~b!$&'()*+,;=%41"):
            assert (await client.get("/v1/jobs", headers={"Host": host})).status_code == 401, host
