"""(f) A deep queue: a million jobs of ten thousand tenants wait, and nobody may notice. And fairness.

Each figure is taken in the empty store and again in the full one, so that the machine is the same for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from gateway.dispatch import Role, Ticket
from gateway.store import keys
from gateway.tenants import Scope
from tests.benchmarks import bench
from tests.processes import Machine, machine
from tests.publisher import Publisher, publisher

QUEUED = int(os.environ.get("BENCH_QUEUED", "1000000"))
TENANTS = 10_000
SAMPLES = 2000
LOOKS = 40
AHEAD = 20_000
FEW = 10
_CHUNK = 20_000


def depth() -> dict[str, float]:
    """`accept_p99_at_1m_ratio`, `dispatch_p99_at_1m_ratio`: one call at a time, with the full queue over the
    empty one. `bytes_per_queued_job`: what Redis holds more for each, without its parameters.
    `overview_ms_at_1m`, `scrape_ms_at_1m`: the slowest but one of forty GETs."""
    return _on_machine(_depth)


async def _depth(scratch: Machine, told: Publisher) -> dict[str, float]:
    tenants = [f"t{number}" for number in range(TENANTS)]
    accept_empty, dispatch_empty = await _accepts(told, tenants), await _dispatches(told)
    before = await _used(told)
    for start in range(0, QUEUED, _CHUNK):
        await told.accept([tenants[number % TENANTS] for number in range(start, min(start + _CHUNK, QUEUED))])
    after = await _used(told)
    body = await _body(told)
    accept_full, dispatch_full = await _accepts(told, tenants), await _dispatches(told)
    scratch.start_gateway()
    return {
        "queued_jobs": QUEUED,
        "accept_p99_empty_ms": bench.quantile(accept_empty, 0.99) * 1000,
        "accept_p99_at_1m_ms": bench.quantile(accept_full, 0.99) * 1000,
        "accept_p99_at_1m_ratio": bench.quantile(accept_full, 0.99) / bench.quantile(accept_empty, 0.99),
        "dispatch_p99_empty_ms": bench.quantile(dispatch_empty, 0.99) * 1000,
        "dispatch_p99_at_1m_ms": bench.quantile(dispatch_full, 0.99) * 1000,
        "dispatch_p99_at_1m_ratio": bench.quantile(dispatch_full, 0.99)
        / bench.quantile(dispatch_empty, 0.99),
        "bytes_per_queued_job": (after - before) / QUEUED - body,
        "overview_ms_at_1m": _slowest(f"{scratch.gateway}/ops/api/overview", scratch.key),
        "scrape_ms_at_1m": _slowest(f"{scratch.gateway}/metrics", scratch.key),
    }


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
    ring = await redis.hget("{gw}:submit:holders", name)  # type: ignore[misc]
    return Ticket.parse(Role.SUBMIT, name, int(ring))


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


def fairness() -> dict[str, float]:
    """`fairness_position_of_last`: of ten jobs of a tenant that come behind 20,000 of another, at which
    dispatch the last one goes. Shared evenly it would be the twentieth."""
    return _on_machine(_fairness)


async def _fairness(_: Machine, told: Publisher) -> dict[str, float]:
    await told.accept(["greedy"] * AHEAD)
    few = {job.id for job in await told.accept(["modest"] * FEW)}
    position = 0
    while few:
        position += 1
        ticket = await _held(told)
        few.discard(ticket.name)
        await told.resources.jobs.drop(ticket)
    return {"fairness_position_of_last": position}


def _on_machine(part: Callable[[Machine, Publisher], Awaitable[dict[str, float]]]) -> dict[str, float]:
    async def run(scratch: Machine) -> dict[str, float]:
        async with contextlib.AsyncExitStack() as stack:
            return await part(scratch, await stack.enter_async_context(publisher(scratch)))

    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        scratch.environment["GATEWAY_UPSTREAM_SLOTS"] = "1"
        scratch.key = scratch.make_key("ops", [Scope.OPS_READ])
        return asyncio.run(run(scratch))
