"""Requests to the upstream through a proxy, as networks without a way out of their own have one."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from gateway.upstream.base import Accepted, Busy, Found, Rejected, SubmitOutcome
from gateway.upstream.proxy import Proxy, parse
from tests.gateway.upstream.scripted import ACCEPTED, Connection, answers, scripted
from tests.gateway.upstream.submitting import KEY, LARGE, SMALL, CountingGate, submit, upstream_at
from tests.gateway.upstream.test_http_dial import NAME, files, server_tls, trusted

__all__ = ["files", "server_tls", "trusted"]

PASSWORD = "p@ss:word/canary"
USER = f"Basic {base64.b64encode(f'robot:{PASSWORD}'.encode()).decode()}"


@dataclass
class ConnectProxy:
    """A proxy that tunnels CONNECT, and keeps what it saw."""

    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    heads: list[bytes] = field(default_factory=list)
    seen: bytearray = field(default_factory=bytearray)
    port: int = 0
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def setting(self) -> Proxy:
        made = parse(SecretStr(f"http://robot:p%40ss%3Aword%2Fcanary@127.0.0.1:{self.port}"))
        assert made
        return made

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            writer.write(self.answer)
            if self.answer.split()[1:2] == [b"200"]:
                await self._tunnel(head.split()[1].decode(), reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            await _closed(writer)

    async def _tunnel(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = target.rpartition(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                self.seen += data
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer), return_exceptions=True)
        await _closed(up_writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def proxied(answer: bytes | None = None) -> AsyncIterator[ConnectProxy]:
    proxy = ConnectProxy() if answer is None else ConnectProxy(answer)
    listener = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        await asyncio.gather(*proxy.serving)


@pytest.mark.usefixtures("trusted")
async def test_a_paid_post_goes_through_a_tunnel_with_its_gate(server_tls: ssl.SSLContext) -> None:
    gate = CountingGate()
    async with (
        scripted(answers(200, ACCEPTED), host=NAME, tls=server_tls) as server,
        proxied() as proxy,
        upstream_at(server.url, proxy=proxy.setting) as upstream,
    ):
        assert await submit(upstream, gate) == Accepted("t1")
    target = server.url.removeprefix("https://")
    [head] = proxy.heads
    assert head.startswith(f"CONNECT {target} HTTP/1.1\r\n".encode())
    assert f"\r\nproxy-authorization: {USER}\r\n".lower() in head.decode().lower()
    assert gate.passed == 1
    [request] = server.requests
    assert "proxy-authorization" not in request.headers
    assert request.headers["host"] == target
    assert KEY.encode() not in head + bytes(proxy.seen)


@pytest.mark.usefixtures("trusted")
async def test_polls_keep_their_tunnel(server_tls: ssl.SSLContext) -> None:
    async with (
        scripted(answers(200, ACCEPTED), host=NAME, tls=server_tls) as server,
        proxied() as proxy,
        upstream_at(server.url, proxy=proxy.setting) as upstream,
    ):
        for _ in range(3):
            assert isinstance(await upstream.query("t1"), Found)
    assert (len(proxy.heads), len(server.requests)) == (1, 3)


async def test_plain_http_has_no_tunnel() -> None:
    async with scripted(answers(200, ACCEPTED)) as server:
        port = server.url.rpartition(":")[2]
        proxy = parse(SecretStr(f"http://robot:secret@127.0.0.1:{port}"))
        async with upstream_at("http://api.test", proxy=proxy) as upstream:
            assert await submit(upstream, CountingGate()) == Accepted("t1")
    [request] = server.requests
    assert request.head.startswith(b"POST http://api.test/model/v1/generation HTTP/1.1\r\n")
    assert request.headers["host"] == "api.test"
    assert request.headers["proxy-authorization"] == "Basic cm9ib3Q6c2VjcmV0"


@pytest.mark.parametrize("early", [False, True], ids=["after the gate", "before the gate"])
async def test_a_proxy_that_wants_another_user_sent_nothing_on(early: bool) -> None:
    gate = CountingGate()
    async with scripted(early_refusal if early else answers(407, b"denied")) as server:
        proxy = parse(SecretStr(f"http://robot:old@127.0.0.1:{server.url.rpartition(':')[2]}"))
        async with upstream_at("http://api.test", proxy=proxy) as upstream:
            outcome = await submit(upstream, gate, LARGE if early else SMALL)
    assert gate.passed == (0 if early else 1)
    assert outcome == Busy("407: the proxy wants another user or password", reached=False)


async def early_refusal(connection: Connection) -> None:
    await connection.answer(407, b"denied")
    await asyncio.sleep(0.1)  # the upload is stuck meanwhile, and the answer is read
    connection.reset()


@pytest.mark.usefixtures("trusted")
async def test_a_407_of_the_upstream_itself_is_its_refusal(server_tls: ssl.SSLContext) -> None:
    async with scripted(answers(407, b"denied")) as server, upstream_at(server.url) as upstream:
        assert isinstance(await submit(upstream, CountingGate()), Rejected)
    async with (
        scripted(answers(407, b"denied"), host=NAME, tls=server_tls) as server,
        proxied() as proxy,
        upstream_at(server.url, proxy=proxy.setting) as upstream,
    ):
        assert isinstance(await submit(upstream, CountingGate()), Rejected)


async def rejected_by(answer: bytes) -> tuple[SubmitOutcome, int]:
    gate = CountingGate()
    async with (
        proxied(answer) as proxy,
        upstream_at("https://api.test", proxy=proxy.setting, connect_seconds=0.3) as upstream,
    ):
        return await submit(upstream, gate), gate.passed


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", "ClientHttpProxyError"),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "ClientHttpProxyError"),
        (b"\x00\x01nonsense\r\n\r\n", "ClientResponseError"),
        (b"", "ServerDisconnectedError"),
    ],
    ids=["407", "502", "not HTTP", "closed"],
)
async def test_what_the_proxy_refuses_was_not_sent(answer: bytes, reason: str) -> None:
    assert await rejected_by(answer) == (Busy(f"not sent: {reason}", reached=False), 0)


async def test_without_a_proxy_behind_the_setting_it_was_not_sent() -> None:
    async with proxied() as proxy:
        pass
    async with upstream_at("https://api.test", proxy=proxy.setting) as upstream:
        outcome = await submit(upstream, CountingGate())
    assert outcome == Busy("not sent: ClientProxyConnectionError", reached=False)


async def test_a_silent_proxy_ends_at_the_deadline_of_connecting() -> None:
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await _closed(writer)
        left.set()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    proxy = Proxy(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", {})
    gate = CountingGate()
    async with (
        listener,
        upstream_at("https://api.test", proxy=proxy, connect_seconds=0.2) as upstream,
    ):
        outcome = await submit(upstream, gate)
        async with asyncio.timeout(30):
            await left.wait()
    assert outcome == Busy("not sent: ConnectionTimeoutError", reached=False)
    assert gate.passed == 0


def test_the_password_is_in_no_repr() -> None:
    proxy = parse(SecretStr("http://robot:canary@proxy.test:3128"))
    assert proxy == Proxy("http://proxy.test:3128", {"proxy-authorization": "Basic cm9ib3Q6Y2FuYXJ5"})
    assert "canary" not in repr(proxy)
    assert "cm9ib3Q6Y2FuYXJ5" not in repr(proxy)


def test_without_a_user_the_proxy_gets_no_header() -> None:
    assert parse(SecretStr("http://proxy.test:3128")) == Proxy("http://proxy.test:3128", {})
    assert parse(SecretStr("")) is None


@pytest.mark.parametrize(
    "text",
    [
        "proxy.test:3128",
        "https://proxy.test:3128",
        "socks5://canary@proxy.test",
        "http://canary@proxy.test",
        "http://a:canary/@proxy.test",
        "http://a:canary@",
        "http://a:canary@proxy.test:x",
        "http://a:canary@proxy.test/path",
        "http://a:canary@proxy.test?x",
        "http://a:canary@proxy test",
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(
        ValueError, match="write http://host:port or http://user:password@host:port"
    ) as caught:
        parse(SecretStr(text))
    assert "canary" not in str(caught.value)
