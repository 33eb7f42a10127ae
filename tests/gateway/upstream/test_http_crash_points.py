"""Where a fault test may stop a process between two steps at the upstream's door, and what then holds."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from gateway.upstream.base import Accepted, Busy, CancelDone, Inconclusive, Unknown
from gateway.upstream.http import HttpUpstream
from gateway.upstream.vidu import ViduDialect
from tests.gateway.upstream.scripted import ACCEPTED, Connection, answers, scripted
from tests.gateway.upstream.submitting import LARGE, SMALL, CountingGate, meeting, submit


class Points:
    """Remembers the points that were reached; raises `error` at `at`."""

    def __init__(self, at: str = "", error: BaseException | None = None) -> None:
        self.seen: list[str] = []
        self.at = at
        self.error = error

    async def __call__(self, point: str) -> None:
        self.seen.append(point)
        if self.error is not None and point == self.at:
            raise self.error


@pytest.mark.parametrize("params", [SMALL, LARGE], ids=["small", "large"])
async def test_a_submit_reaches_its_crash_points_in_order(params: dict[str, object]) -> None:
    points = Points()

    async def gate() -> None:
        points.seen.append("gate")

    async with meeting(answers(200, ACCEPTED), reach=points) as (upstream, _):
        assert await submit(upstream, gate, params) == Accepted("t1")
    assert points.seen == ["gate", "submit.last_byte.before", "submit.last_byte.after", "submit.answered"]


async def test_the_server_gets_the_last_byte_between_its_two_crash_points() -> None:
    whole = asyncio.Event()
    complete: dict[str, bool] = {}

    async def script(connection: Connection) -> None:
        await connection.read()
        whole.set()
        await connection.answer(200, ACCEPTED)

    async def reach(point: str) -> None:
        if point == "submit.last_byte.after":
            await whole.wait()
        complete[point] = whole.is_set()

    async with meeting(script, reach=reach) as (upstream, _):
        assert await submit(upstream, CountingGate()) == Accepted("t1")
    assert complete == {
        "submit.last_byte.before": False,
        "submit.last_byte.after": True,
        "submit.answered": True,
    }


async def test_a_process_frozen_after_the_gate_sends_the_last_byte_without_asking_again() -> None:
    async def reach(point: str) -> None:
        if point == "submit.last_byte.before":
            await asyncio.sleep(0.3)

    gate = CountingGate()
    async with meeting(answers(200, ACCEPTED), upload_seconds=0.2, response_seconds=5.0, reach=reach) as (
        upstream,
        server,
    ):
        assert await submit(upstream, gate) == Accepted("t1")
    assert server.requests[0].complete
    assert gate.passed == 1


async def test_a_failure_before_the_last_byte_keeps_it_unsent() -> None:
    points = Points("submit.last_byte.before", OSError("stopped"))
    async with meeting(answers(200, ACCEPTED), reach=points) as (upstream, server):
        with pytest.raises(OSError, match="stopped"):
            await submit(upstream, CountingGate())
        await server.settled()
    assert not server.requests[0].complete


@pytest.mark.parametrize(
    ("point", "reason"),
    [("submit.last_byte.after", "ClientOSError"), ("submit.answered", "ConnectionError")],
)
async def test_a_lost_answer_to_a_submit_is_unknown(point: str, reason: str) -> None:
    async with meeting(answers(200, ACCEPTED), reach=Points(point, ConnectionError())) as (upstream, _):
        assert await submit(upstream, CountingGate()) == Unknown(f"no complete answer: {reason}")


async def test_a_submit_that_fails_before_the_gate_reaches_no_crash_point() -> None:
    async def script(connection: Connection) -> None:
        connection.reset()

    points = Points()
    async with meeting(script, reach=points) as (upstream, _):
        assert isinstance(await submit(upstream, CountingGate(), LARGE), Busy)
    assert points.seen == []


async def test_polls_and_cancels_reach_a_crash_point_before_and_after() -> None:
    points = Points()
    async with (
        scripted(answers(200, b'{"state":"created"}')) as server,
        HttpUpstream(ViduDialect(), server.url, SecretStr("k"), reach=points) as upstream,
    ):
        await upstream.query("1")
        assert await upstream.cancel("1") == CancelDone()
    assert points.seen == ["query.before", "query.after", "cancel.before", "cancel.after"]


@pytest.mark.parametrize("point", ["query.after", "cancel.after"])
async def test_a_lost_answer_to_a_repeatable_request_is_inconclusive(point: str) -> None:
    points = Points(point, ConnectionError())
    async with (
        scripted(answers(200, b'{"state":"success"}')) as server,
        HttpUpstream(ViduDialect(), server.url, SecretStr("k"), reach=points) as upstream,
    ):
        outcome = await (upstream.query("1") if point == "query.after" else upstream.cancel("1"))
    assert outcome == Inconclusive("no answer: ConnectionError")
