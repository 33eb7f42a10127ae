"""The dial: addresses, names and certificates on the way to a subscriber."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.delivery.guard import Guard
from gateway.delivery.http import AttemptResult, Deliverer, DeliveryOutcome
from gateway.delivery.timing import Timings
from tests.extras import missing
from tests.gateway.delivery.subscriber import LOOPBACK, Subscriber, reply, subscriber

AT_ONCE = (0.0, 0.0)


class Names(AbstractResolver):
    """Answers lookups from a list, the last answer for ever; an empty answer: no such name."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not answer:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in answer
        ]

    async def close(self) -> None: ...


async def deliver(
    served: Subscriber,
    *answers: Sequence[str],
    guard: Guard = LOOPBACK,
    scheme: str = "http",
    ssl_context: ssl.SSLContext | None = None,
) -> AttemptResult:
    async with Deliverer(
        guard,
        resolver=Names(*answers),
        total_seconds=5.0,
        retry_seconds=AT_ONCE,
        ssl_context=ssl_context,
    ) as deliverer:
        return await deliverer.post(f"{scheme}://hooks.test:{served.port}/", {}, b"{}")


async def post(url: str, **options: float) -> AttemptResult:
    async with Deliverer(LOOPBACK, retry_seconds=AT_ONCE, **options) as deliverer:  # type: ignore[arg-type]
        return await deliverer.post(url, {}, b"{}")


async def test_nobody_listening_is_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = await post(f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert (result.outcome, result.status, result.excerpt) == (DeliveryOutcome.CONNECTION_REFUSED, None, "")
    assert (result.retry_after, result.headers, result.retried) == (None, {}, True)


async def test_a_dial_that_gets_no_answer_ends_at_the_connect_deadline() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for filler in waiting:
            filler.setblocking(False)
            filler.connect_ex(address)
        result = await post(f"http://127.0.0.1:{address[1]}/", connect_seconds=0.2)
        for filler in waiting:
            filler.close()
    assert result.outcome == "timeout"
    assert 200 <= result.duration_ms < 4000


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://127.0.0.1/",
        "http://",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://u:p@127.0.0.1/",
        "http://h:99999/",
        "\0",
    ],
)
async def test_an_invalid_url_is_not_dialled(url: str) -> None:
    assert (await post(url)).outcome == "invalid_url"


async def test_an_address_outside_the_allowed_networks_gets_no_connection() -> None:
    async with subscriber(reply(200)) as served, Deliverer(Guard(["10.0.0.0/8"])) as deliverer:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[::ffff:7f00:1]"):
            result = await deliverer.post(f"http://{host}:{served.port}/", {}, b"{}")
            assert (result.outcome, result.status) == ("target_forbidden", None)
    assert served.connections == 0


async def test_a_name_is_sent_as_the_host() -> None:
    async with subscriber(reply(200)) as served:
        assert (await deliver(served, ["127.0.0.1"])).outcome == "succeeded"
    assert f"Host: hooks.test:{served.port}\r\n".encode() in served.requests[0][0]


async def test_no_cookie_of_a_name_is_kept() -> None:
    names = Names(["127.0.0.1"])
    async with (
        subscriber(reply(200, b"", "Set-Cookie: a=b; Path=/")) as served,
        Deliverer(LOOPBACK, resolver=names) as deliverer,
    ):
        for _ in range(2):
            await deliverer.post(f"http://hooks.test:{served.port}/", {}, b"{}")
    assert len(served.requests) == 2
    assert b"cookie" not in served.requests[1][0].lower()


async def test_a_name_that_is_not_known_is_a_dns_error() -> None:
    async with subscriber(reply(200)) as served:
        assert (await deliver(served, [])).outcome == "dns_error"


async def test_a_lookup_that_hangs_ends_at_the_total_deadline() -> None:
    class Hanging(Names):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            await asyncio.sleep(60)
            return []

    async with Deliverer(LOOPBACK, resolver=Hanging(), total_seconds=0.2) as deliverer:
        assert (await deliverer.post("http://hooks.test/", {}, b"{}")).outcome == "timeout"


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["127.0.0.1", "::1"], ["::ffff:127.0.0.1", "127.0.0.2"]])
async def test_a_name_with_forbidden_addresses_only_is_refused(answer: list[str]) -> None:
    async with subscriber(reply(200)) as served:
        result = await deliver(served, answer, guard=Guard([], public=True))
    assert (result.outcome, served.connections) == ("target_forbidden", 0)


async def test_a_name_that_resolves_differently_is_refused_at_the_next_dial() -> None:
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with subscriber(reply(200, b"", "Connection: close")) as served:
        guard = Guard(["127.0.0.1/32"])
        url = f"http://rebind.test:{served.port}/"
        outcomes = []
        for _ in range(2):
            async with Deliverer(guard, resolver=names) as deliverer:
                outcomes.append((await deliverer.post(url, {}, b"{}")).outcome)
    assert outcomes == ["succeeded", "target_forbidden"]
    assert served.connections == 1


async def test_a_name_with_one_forbidden_address_is_refused() -> None:
    async with subscriber(reply(200)) as served:
        result = await deliver(served, ["127.0.0.2", "127.0.0.1"], guard=Guard(["127.0.0.1/32"]))
    assert (result.outcome, served.connections) == ("target_forbidden", 0)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    if shutil.which("openssl") is None:
        missing("openssl, which makes certificates")
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    self_sign(key, certificate, "hooks.test")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=str(certificate))


def self_sign(key: Path, certificate: Path, name: str) -> None:
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
    ]
    files = ["-keyout", str(key), "-out", str(certificate), "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run([*command, *files], check=True, capture_output=True)


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


async def test_tls_to_the_right_name(contexts: Contexts) -> None:
    server, client = contexts
    async with subscriber(reply(200), tls=server) as served:
        result = await deliver(served, ["127.0.0.1"], scheme="https", ssl_context=client)
    assert result.outcome == "succeeded"


async def test_a_certificate_of_another_name_is_refused(contexts: Contexts) -> None:
    server, client = contexts
    async with (
        subscriber(reply(200), tls=server) as served,
        Deliverer(LOOPBACK, ssl_context=client) as deliverer,
    ):
        result = await deliverer.post(f"https://127.0.0.1:{served.port}/", {}, b"{}")
    assert (result.outcome, served.requests) == ("tls_error", [])


async def test_a_certificate_of_an_unknown_issuer_is_refused(contexts: Contexts) -> None:
    async with subscriber(reply(200), tls=contexts[0]) as served:
        assert (await deliver(served, ["127.0.0.1"], scheme="https")).outcome == "tls_error"


async def test_tls_to_a_plain_server_is_a_tls_error() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(reply(400))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server, Deliverer(LOOPBACK) as deliverer:
        result = await deliverer.post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {}, b"{}")
    assert result.outcome == "tls_error"


async def test_a_reset_in_the_middle_of_the_handshake_is_a_reset() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    async with server:
        result = await post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert result.outcome == "connection_reset"


async def test_the_steps_of_an_attempt_are_timed(contexts: Contexts) -> None:
    server, client = contexts
    url = "https://hooks.test:{}/"
    async with (
        subscriber(reply(200), tls=server) as served,
        Deliverer(LOOPBACK, ssl_context=client, resolver=Names(["127.0.0.1"])) as deliverer,
    ):
        first, second = [await deliverer.post(url.format(served.port), {}, b"{}") for _ in range(2)]
    assert served.connections == 1
    assert (first.reused, second.reused) == (False, True)
    steps = [getattr(first.timings, step) for step in ("dns", "connect", "tls", "first_byte")]
    assert None not in steps
    assert 0 < sum(steps) <= first.duration_ms + 2
    assert second.timings == Timings(first_byte=second.timings.first_byte)
    assert second.timings.first_byte is not None


async def test_an_unfinished_step_has_no_time(contexts: Contexts) -> None:
    async with subscriber(reply(200), tls=contexts[0]) as served:
        untrusted = (await deliver(served, ["127.0.0.1"], scheme="https")).timings
        plain = (await post(f"http://127.0.0.1:{served.port}/")).timings
    assert untrusted.connect is not None
    assert (untrusted.tls, untrusted.first_byte) == (None, None)
    assert (plain.dns, plain.tls, plain.first_byte) == (None, None, None)


async def test_a_refused_certificate_has_a_reason(contexts: Contexts) -> None:
    async with subscriber(reply(200), tls=contexts[0]) as served:
        result = await deliver(served, ["127.0.0.1"], scheme="https")
    assert result.hint == "the certificate was refused: self-signed certificate"
    assert not result.retried


async def test_a_forbidden_address_has_a_hint() -> None:
    result = await post("http://10.0.0.1/")
    assert result.hint == (
        "webhooks may not go to this address: its network, its port, http, or the gateway itself"
    )
    assert not result.retried


async def test_a_name_with_too_many_addresses_has_a_hint() -> None:
    async with subscriber(reply(200)) as served:
        result = await deliver(served, ["127.0.0.1"] * 33)
    assert (result.outcome, result.retried, served.connections) == ("target_forbidden", False, 0)
    assert result.hint == "the name has more than 32 addresses; give it fewer"
