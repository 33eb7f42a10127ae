"""A deep queue: a million jobs of ten thousand tenants wait, and nobody may notice. And fairness.

An empty store stands beside the full one. They take turns, so that the machine is the same for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from gateway.dispatch import Role, Ticket
from gateway.store import keys
from gateway.tenants import Scope
from tests.benchmarks.clones import accept_command, fill
from tests.benchmarks.figures import Figure, Found, over_floor, p99_ms
from tests.processes import Machine, machine
from tests.publisher import Publisher, publisher

QUEUED = int(os.environ.get("BENCH_QUEUED", "1000000"))
TENANTS = 10_000
ROUNDS = 5
SAMPLES = 1000
LOOKS = 40
AHEAD = 20_000
FEW = 10


def depth() -> Found:
    """`accept_p99_at_1m_ratio`, `dispatch_p99_at_1m_ratio`: one call at a time, with the full queue over the
    empty one. `bytes_per_queued_job`: what Redis holds more for each, without its parameters.
    `overview_ms_at_1m`, `scrape_ms_at_1m`: the slowest but one of forty GETs."""

    async def run(empty: Machine, full: Machine) -> Found:
        async with publisher(empty) as few, publisher(full) as many:
            return await _depth(full, few, many)

    with _slow_upstream() as empty, _slow_upstream() as full:
        return asyncio.run(run(empty, full))


async def _depth(full: Machine, few: Publisher, many: Publisher) -> Found:
    tenants = [f"t{number:05}" for number in range(TENANTS)]
    for told in (few, many):  # warm up; one stays in the queue
        await _accepts(told, tenants)
        await _dispatches(told)
        await told.accept(tenants[:1])
    size = await _fill(full, many, tenants)
    accepts: tuple[list[float], list[float]] = ([], [])
    dispatches: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for told, accept, dispatch in zip((few, many), accepts, dispatches, strict=True):
            accept.append(p99_ms(await _accepts(told, tenants)))
            dispatch.append(p99_ms(await _dispatches(told)))
    full.start_gateway()
    return Found(
        {
            "accept_p99_at_1m_ratio": over_floor(accepts[1], accepts[0]),
            "dispatch_p99_at_1m_ratio": over_floor(dispatches[1], dispatches[0]),
            "bytes_per_queued_job": Figure([size]),
        },
        {
            "queued_jobs": [QUEUED],
            "accept_p99_empty_ms": accepts[0],
            "accept_p99_at_1m_ms": accepts[1],
            "dispatch_p99_empty_ms": dispatches[0],
            "dispatch_p99_at_1m_ms": dispatches[1],
            "overview_ms_at_1m": [_slowest(f"{full.gateway}/ops/api/overview", full.key)],
            "scrape_ms_at_1m": [_slowest(f"{full.gateway}/metrics", full.key)],
        },
    )


async def _fill(full: Machine, many: Publisher, tenants: Sequence[str]) -> float:
    """Bytes that each of the jobs takes."""
    job, words = await accept_command(many, full.url, tenants[0])
    before, body = await _used(many), await _body(many)
    turns = (tenants[number % TENANTS] for number in range(QUEUED))
    await asyncio.to_thread(fill, full.url, job, tenants[0], words, turns)
    return (await _used(many) - before) / QUEUED - body


async def _accepts(told: Publisher, tenants: Sequence[str]) -> list[float]:
    step = max(1, len(tenants) // SAMPLES)
    return await _timed([lambda name=name: told.accept([name]) for name in tenants[::step][:SAMPLES]])  # type: ignore[misc]


async def _dispatches(told: Publisher) -> list[float]:
    """A slot is given back, and what waits takes it: one script."""
    took = []
    for _ in range(SAMPLES):
        ticket = await _held(told)
        took += await _timed([lambda ticket=ticket: told.resources.jobs.drop(ticket)])  # type: ignore[misc]
    return took


async def _timed(calls: Sequence[Callable[[], Awaitable[object]]]) -> list[float]:
    took = []
    for call in calls:
        began = time.perf_counter()
        await call()
        took.append(time.perf_counter() - began)
    return took


async def _held(told: Publisher) -> Ticket:
    """One of the tickets that hold a slot."""
    redis = told.resources.redis
    [name] = await redis.zrange(keys.slots(Role.SUBMIT), 0, 0)
    number = await redis.hget("{gw}:submit:holders", name)  # type: ignore[misc]
    return Ticket.parse(Role.SUBMIT, name, int(number))


async def _used(told: Publisher) -> int:
    used: int = (await told.resources.redis.info("memory"))["used_memory"]
    return used


async def _body(told: Publisher) -> int:
    """Bytes of the parameters of one of the jobs, which are all alike."""
    redis = told.resources.redis
    name = (await _held(told)).name
    return len((await redis.hget(keys.job(name), "params")).encode())  # type: ignore[misc]


def _slowest(url: str, key: str) -> float:
    """In ms, of so many GETs, the slowest but one."""
    took = []
    for _ in range(LOOKS):
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
        began = time.perf_counter()
        with urllib.request.urlopen(request) as answer:
            answer.read()
        took.append(time.perf_counter() - began)
    return sorted(took)[-2] * 1000


def fairness() -> Found:
    """`fairness_position_of_last`: of ten jobs of a tenant that come behind 20,000 of another, at which
    dispatch the last one goes. Shared evenly it would be the twentieth."""

    async def run(scratch: Machine) -> Found:
        async with publisher(scratch) as told:
            return await _fairness(told)

    with _slow_upstream() as scratch:
        return asyncio.run(run(scratch))


async def _fairness(told: Publisher) -> Found:
    await told.accept(["greedy"] * AHEAD)
    few = {job.id for job in await told.accept(["modest"] * FEW)}
    position = 0
    while few:
        position += 1
        ticket = await _held(told)
        few.discard(ticket.name)
        await told.resources.jobs.drop(ticket)
    return Found({"fairness_position_of_last": Figure([position])})


@contextlib.contextmanager
def _slow_upstream() -> Iterator[Machine]:
    """A machine whose upstream takes one job at a time."""
    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        scratch.environment["GATEWAY_UPSTREAM_SLOTS"] = "1"
        scratch.key = scratch.make_key("ops", [Scope.OPS_READ])
        yield scratch
