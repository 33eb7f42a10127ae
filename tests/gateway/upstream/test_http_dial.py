"""How the upstream is dialled: names, addresses and certificates. Until then a paid POST is free."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.upstream import transport
from gateway.upstream.base import Accepted, Busy, Unknown
from tests.gateway.delivery.test_http_dial import self_sign
from tests.gateway.upstream.scripted import ACCEPTED, Connection, answers, scripted
from tests.gateway.upstream.submitting import (
    LARGE,
    SMALL,
    CountingGate,
    last_byte_in_the_gate,
    submit,
    upstream_at,
)

NAME = "localhost"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    self_sign(key, certificate, NAME)
    return key, certificate


@pytest.fixture
def server_tls(files: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    return context


@pytest.fixture
def trusted(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Our side trusts the certificate, as an operator makes it: by SSL_CERT_FILE."""
    monkeypatch.setenv("SSL_CERT_FILE", str(files[1]))
    transport.tls_context.cache_clear()
    yield
    transport.tls_context.cache_clear()


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("params", [SMALL, LARGE], ids=["small", "large"])
async def test_over_tls_the_server_has_everything_but_the_last_byte_at_the_gate(
    params: dict[str, object], server_tls: ssl.SSLContext
) -> None:
    script, gate = last_byte_in_the_gate()
    names: list[str | None] = []

    def named(_: Any, name: str | None, __: Any) -> None:
        names.append(name)

    server_tls.sni_callback = named
    async with scripted(script, host=NAME, tls=server_tls) as server, upstream_at(server.url) as upstream:
        assert await submit(upstream, gate, params) == Accepted("t1")
    assert names == [NAME]


@pytest.mark.usefixtures("trusted")
async def test_over_tls_a_server_that_does_not_read_ends_the_upload_at_its_deadline(
    server_tls: ssl.SSLContext,
) -> None:
    async def read_nothing(connection: Connection) -> None:
        await asyncio.Event().wait()

    gate = CountingGate()
    async with (
        scripted(read_nothing, host=NAME, tls=server_tls) as server,
        upstream_at(server.url, upload_seconds=0.5) as upstream,
    ):
        assert await submit(upstream, gate, LARGE) == Busy("not sent: TimeoutError", reached=False)
    assert gate.passed == 0


@pytest.mark.usefixtures("trusted")
async def test_over_tls_a_reset_after_the_last_byte_is_unknown(server_tls: ssl.SSLContext) -> None:
    async def script(connection: Connection) -> None:
        await connection.read()
        connection.reset()

    async with scripted(script, host=NAME, tls=server_tls) as server, upstream_at(server.url) as upstream:
        assert isinstance(await submit(upstream, CountingGate()), Unknown)


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_of_another_name_is_refused(server_tls: ssl.SSLContext) -> None:
    gate = CountingGate()
    async with scripted(answers(200), tls=server_tls) as server, upstream_at(server.url) as upstream:
        outcome = await submit(upstream, gate)
    assert outcome == Busy("not sent: ClientConnectorCertificateError", reached=False)
    assert (gate.passed, server.requests) == (0, [])


async def test_a_certificate_of_an_unknown_authority_is_refused(server_tls: ssl.SSLContext) -> None:
    gate = CountingGate()
    async with (
        scripted(answers(200), host=NAME, tls=server_tls) as server,
        upstream_at(server.url) as upstream,
    ):
        outcome = await submit(upstream, gate)
    assert outcome == Busy("not sent: ClientConnectorCertificateError", reached=False)
    assert (gate.passed, server.requests) == (0, [])


async def test_an_ipv6_address_is_dialled_and_named() -> None:
    try:
        with socket.socket(socket.AF_INET6) as six:
            six.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with (
        scripted(answers(200, ACCEPTED), address="::1", host="[::1]") as server,
        upstream_at(server.url) as upstream,
    ):
        assert await submit(upstream, CountingGate()) == Accepted("t1")
    assert server.requests[0].headers["host"] == server.url.removeprefix("http://")


def resolving(monkeypatch: pytest.MonkeyPatch, found: list[str] | OSError) -> None:
    """From now on every name has these addresses, in this order."""

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[tuple[Any, ...]]:
        if isinstance(found, OSError):
            raise found
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)) for address in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


async def test_if_the_first_address_refuses_the_next_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = CountingGate()
    async with scripted(answers(200, ACCEPTED), host="api.test") as server:
        resolving(monkeypatch, ["127.0.0.2", "127.0.0.1"])
        async with upstream_at(server.url) as upstream:
            assert await submit(upstream, gate) == Accepted("t1")
    assert (gate.passed, server.connections) == (1, 1)


async def test_if_the_first_address_is_silent_the_next_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(answers(200, ACCEPTED), host="api.test") as server:
        port = int(server.url.rpartition(":")[2])
        with socket.socket() as silent, socket.socket() as first, socket.socket() as second:
            silent.bind(("127.0.0.2", port))
            silent.listen(0)  # one connection waits to be accepted; the kernel answers no further one
            for one in (first, second):
                one.setblocking(False)
                one.connect_ex(("127.0.0.2", port))
            resolving(monkeypatch, ["127.0.0.2", "127.0.0.1"])
            async with upstream_at(server.url) as upstream:
                assert await submit(upstream, CountingGate()) == Accepted("t1")
    assert server.connections == 1


async def test_a_name_without_an_address_was_not_sent_to(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, socket.gaierror(socket.EAI_NONAME, "unknown"))
    gate = CountingGate()
    async with upstream_at("http://nobody.test") as upstream:
        outcome = await submit(upstream, gate)
    assert outcome == Busy("not sent: ClientConnectorDNSError", reached=False)
    assert gate.passed == 0


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_no_connection_to_a_server_that_does_not_read_outlives_its_attempt(
    encrypted: bool, server_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled: list[socket.socket] = []
    ended = asyncio.Event()

    def dial(address: tuple[Any, ...]) -> socket.socket:
        dialled.append(opened(address))
        return dialled[-1]

    async def read_nothing(connection: Connection) -> None:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await ended.wait()

    opened = transport._socket
    monkeypatch.setattr(transport, "_socket", dial)
    async with scripted(read_nothing, host=NAME, tls=server_tls if encrypted else None) as server:
        outcome = await submit(upstream_at(server.url, upload_seconds=1), CountingGate(), LARGE)
        assert outcome == Busy("not sent: TimeoutError", reached=False)
        await asyncio.sleep(0.05)  # a few turns of the loop
        assert {raw.fileno() for raw in dialled} == {-1}
        ended.set()
