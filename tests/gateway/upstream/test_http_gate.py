"""Up to the gate a paid POST is free: whatever fails before it, or in it, leaves an incomplete request."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import aiohttp
import orjson
import pytest
from pydantic import SecretStr

from gateway.errors import Fenced
from gateway.upstream.base import Accepted, AccountRefused, Busy, Rejected, SubmitOutcome, Unknown
from gateway.upstream.http import HttpUpstream
from gateway.upstream.vtrix import VtrixDialect
from tests.gateway.upstream.scripted import ACCEPTED, Connection, Script, answers
from tests.gateway.upstream.submitting import (
    KEY,
    LARGE,
    SMALL,
    CountingGate,
    last_byte_in_the_gate,
    meeting,
    submit,
    upstream_at,
)

# ---- the gate ----


@pytest.mark.parametrize("params", [SMALL, LARGE], ids=["small", "large"])
async def test_at_the_gate_the_server_has_everything_but_the_last_byte(params: dict[str, object]) -> None:
    script, gate = last_byte_in_the_gate()

    async with meeting(script) as (upstream, server):
        assert await submit(upstream, gate, params) == Accepted("t1")
    assert server.requests[0].body.endswith(b"}")


async def test_at_the_gate_all_but_the_last_byte_has_left_this_process() -> None:
    arrived = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            head = b"".join(iter(stream.readline, b"\r\n"))
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            for missing in range(length - 1, 0, -65_536):  # slowly, so that the kernel's buffers are full
                stream.read(min(missing, 65_536))
                time.sleep(0.001)
            arrived.set()
            stream.read(1)
            connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + ACCEPTED)

    async def gate() -> None:
        # It stops the whole loop: what is still in this process's buffers stays there.
        assert arrived.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        server = threading.Thread(target=serve, args=(listener,), daemon=True)
        server.start()
        async with upstream_at(f"http://127.0.0.1:{listener.getsockname()[1]}") as upstream:
            assert await submit(upstream, gate, LARGE) == Accepted("t1")
        server.join()


@pytest.mark.parametrize("params", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    "error",
    [
        Fenced("another epoch"),
        TimeoutError("the store"),
        OSError("the store"),
        ConnectionResetError("the store"),
        aiohttp.ClientPayloadError("x"),
        aiohttp.ServerDisconnectedError("x"),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
async def test_an_error_of_the_gate_is_raised_and_the_last_byte_is_not_sent(
    error: Exception, params: dict[str, object]
) -> None:
    async def gate() -> None:
        raise error

    async with meeting(answers(200, ACCEPTED)) as (upstream, server):
        with pytest.raises(type(error)) as caught:
            await submit(upstream, gate, params)
        await server.settled()
    assert caught.value is error
    [request] = server.requests
    assert len(request.body) < request.length
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(request.body)


async def test_cancelled_at_the_gate_the_last_byte_is_not_sent() -> None:
    waiting = asyncio.Event()

    async def gate() -> None:
        waiting.set()
        await asyncio.Event().wait()

    async with meeting(answers(200, ACCEPTED)) as (upstream, server):
        task = asyncio.create_task(submit(upstream, gate))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.settled()
    assert not server.requests[0].complete


async def test_cancelled_before_the_gate_the_gate_is_not_asked_and_the_last_byte_not_sent() -> None:
    under_way, gate = asyncio.Event(), CountingGate()

    async def script(connection: Connection) -> None:
        await connection.read(connection.length // 2)
        under_way.set()
        await canceled.wait()
        await connection.read()

    canceled = asyncio.Event()
    async with meeting(script) as (upstream, server):
        task = asyncio.create_task(submit(upstream, gate, LARGE))
        await under_way.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        canceled.set()
        await server.settled()
    assert not server.requests[0].complete
    assert gate.passed == 0


@pytest.mark.parametrize("turns", range(0, 40, 2))
async def test_cancelled_at_any_time_the_last_byte_is_sent_only_if_the_gate_was_asked(turns: int) -> None:
    gate = CountingGate()
    async with meeting(answers(200, ACCEPTED)) as (upstream, server):
        task = asyncio.create_task(submit(upstream, gate))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.settled()
    assert not any(request.complete for request in server.requests) or gate.passed == 1


async def test_a_cancellation_after_the_gate_is_raised() -> None:
    arrived = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.read()
        arrived.set()
        await connection.reader.read()

    async with meeting(script) as (upstream, _):
        task = asyncio.create_task(submit(upstream, CountingGate()))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_upload_deadline_does_not_limit_the_gate() -> None:
    async def gate() -> None:
        await asyncio.sleep(0.3)

    async with meeting(answers(200, ACCEPTED), upload_seconds=0.2) as (upstream, _):
        assert await submit(upstream, gate) == Accepted("t1")


# ---- before the gate: free ----


async def reset_after_the_head(connection: Connection) -> None:
    connection.reset()


async def reset_in_the_middle(connection: Connection) -> None:
    await connection.read(connection.length // 2)
    connection.reset()


async def close_after_the_head(connection: Connection) -> None:
    connection.writer.close()


async def read_nothing(connection: Connection) -> None:
    await asyncio.Event().wait()


async def refuse_with_500_and_close(connection: Connection) -> None:
    await connection.answer(500, b"{}")
    connection.writer.close()


@pytest.mark.parametrize(
    "script", [reset_after_the_head, reset_in_the_middle, close_after_the_head, refuse_with_500_and_close]
)
async def test_a_failure_before_the_gate_costs_nothing(script: Script) -> None:
    gate = CountingGate()
    async with meeting(script) as (upstream, _):
        outcome = await submit(upstream, gate, LARGE)
    assert isinstance(outcome, Busy)
    assert not outcome.reached
    assert gate.passed == 0


async def test_a_server_that_does_not_read_ends_the_upload_at_its_deadline() -> None:
    gate = CountingGate()
    async with meeting(read_nothing, upload_seconds=0.2) as (upstream, _):
        assert await submit(upstream, gate, LARGE) == Busy("not sent: TimeoutError", reached=False)
    assert gate.passed == 0


async def test_without_a_server_it_was_not_sent() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with upstream_at(f"http://127.0.0.1:{nobody.getsockname()[1]}") as upstream:
            gate = CountingGate()
            assert await submit(upstream, gate) == Busy("not sent: ClientConnectorError", reached=False)
    assert gate.passed == 0


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["plain HTTP", "silence"])
async def test_without_tls_on_the_server_it_was_not_sent(reply: bytes) -> None:
    ended = asyncio.Event()

    async def speak_no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(reply)
        await reader.read()
        writer.close()
        ended.set()

    listener = await asyncio.start_server(speak_no_tls, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    gate = CountingGate()
    async with listener, HttpUpstream(VtrixDialect(), url, SecretStr(KEY), connect_seconds=0.2) as upstream:
        outcome = await submit(upstream, gate)
        await ended.wait()
    assert isinstance(outcome, Busy)
    assert not outcome.reached
    assert gate.passed == 0


async def test_an_early_refusal_is_never_unknown_whether_it_could_be_read_or_not() -> None:
    async def script(connection: Connection) -> None:
        await connection.answer(413, b'{"message":"too large"}')
        connection.writer.close()

    gate = CountingGate()
    async with meeting(script) as (upstream, _):
        outcome = await submit(upstream, gate, LARGE)
    assert gate.passed == 0
    assert isinstance(outcome, Rejected) or (isinstance(outcome, Busy) and not outcome.reached)


async def test_an_early_refusal_counts_if_the_server_reads_on() -> None:
    async def script(connection: Connection) -> None:
        await connection.answer(413, b'{"message":"too large"}')
        await connection.read()

    async with meeting(script) as (upstream, _):
        outcome = await submit(upstream, CountingGate(), LARGE)
    assert isinstance(outcome, Rejected)
    assert outcome.error.message == "too large"


@pytest.mark.parametrize(
    ("status", "kind", "reached"),
    [
        (413, Rejected, None),
        (401, AccountRefused, None),
        (429, Busy, True),
        (408, Busy, False),
        (200, Busy, False),
        (503, Busy, False),
    ],
)
async def test_only_refusals_count_as_answers_to_an_incomplete_request(
    status: int, kind: type[SubmitOutcome], reached: bool | None
) -> None:
    async def script(connection: Connection) -> None:
        await connection.answer(status, ACCEPTED)
        await asyncio.sleep(0.1)  # the upload is stuck meanwhile, and the answer is read
        connection.reset()

    gate = CountingGate()
    async with meeting(script) as (upstream, _):
        outcome = await submit(upstream, gate, LARGE)
    assert type(outcome) is kind
    assert getattr(outcome, "reached", None) is reached
    assert gate.passed == 0


@pytest.mark.parametrize("status", [200, 413])
async def test_an_answer_that_comes_in_the_gate_does_not_disturb_it(status: int) -> None:
    answered, ended = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.read(connection.length - 1)
        await connection.answer(status, ACCEPTED)
        answered.set()
        await connection.read()

    async def gate() -> None:
        await answered.wait()
        await asyncio.sleep(0.1)
        ended.set()

    async with meeting(script) as (upstream, server):
        outcome = await submit(upstream, gate)
        assert ended.is_set()
        await server.settled()
    assert server.requests[0].complete
    assert isinstance(outcome, Accepted if status == 200 else Rejected)


async def test_a_connection_that_breaks_in_the_gate_does_not_disturb_it() -> None:
    broken, ended = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.read(connection.length - 1)
        connection.reset()
        broken.set()

    async def gate() -> None:
        await broken.wait()
        await asyncio.sleep(0.1)
        ended.set()

    async with meeting(script) as (upstream, server):
        outcome = await submit(upstream, gate)
        assert ended.is_set()
    assert not server.requests[0].complete
    assert isinstance(outcome, Unknown)


async def test_a_canceled_submit_ends_after_its_gate_has() -> None:
    waiting, ended = asyncio.Event(), asyncio.Event()

    async def gate() -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)
            ended.set()

    async with meeting(answers(200, ACCEPTED)) as (upstream, _):
        task = asyncio.create_task(submit(upstream, gate))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()
