"""(e) The fan-out: how soon subscribers are told, also beside some that hang, fail or catch up.

Events come from jobs that are canceled while they wait, at a constant rate, whatever became of those before.
What is measured is the time from just before the script that ends the job to the head of its first POST.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.delivery import signing
from gateway.delivery.secrets import endpoint_secret
from gateway.endpoints import Endpoint
from gateway.jobs import Job, rfc3339
from gateway.store import keys
from tests.benchmarks import bench
from tests.benchmarks.sink import Sink, first_of
from tests.processes import Machine, call, machine
from tests.publisher import Publisher, event_of, publisher, start_deliverers

HOSTS = 100
PER_SECOND = 200.0
SECONDS = 8.0
BAD_PER_SECOND = 20.0
STEADY_PER_SECOND = 20.0
STEADY = 100
TIMEOUT_SECONDS = 5.0
SATURATED_SECONDS = 0.5
BACKLOG = 3000
ROUNDS = 3
AT_ONCE = 100
HELD = int(os.environ.get("BENCH_HELD", "20000"))
_ARRIVE_SECONDS = 60.0
_CONTENT = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Ground:
    """A machine with `HOSTS` tenants, each with one endpoint on a host of its own that takes everything."""

    scratch: Machine
    sink: Sink
    publisher: Publisher
    tenants: Sequence[str]
    endpoints: Sequence[Endpoint]

    async def jobs(self, count: int) -> list[Job]:
        """Queued jobs of all tenants in turn."""
        return await self.publisher.accept([self.tenants[n % HOSTS] for n in range(count)])

    async def live(self, seconds: float = 0, beside: Sequence[Job] = ()) -> list[float]:
        """Seconds from the publication of each event to its first attempt, at the steady rate.
        `beside`: the events of these are published too, spread over the same time."""
        seconds = seconds or SECONDS
        jobs = await self.jobs(int(PER_SECOND * seconds))
        published, _ = await asyncio.gather(
            self.publisher.publish_at(jobs, PER_SECOND),
            self.publisher.publish_at(beside, max(1, len(beside)) / seconds),
        )
        return await self.took(published)

    async def took(self, published: dict[str, float]) -> list[float]:
        arrived = await self.all_arrived("/ok/", set(published))
        return [arrived[event] - at for event, at in published.items()]

    async def all_arrived(self, start: str, events: set[str]) -> dict[str, float]:
        """{event: when it first arrived at a path that starts so}, when all of them did."""
        deadline = time.monotonic() + _ARRIVE_SECONDS
        while True:
            found = first_of(self.sink.arrivals(), start)
            if events <= found.keys():
                return {event: found[event] for event in events}
            if time.monotonic() > deadline:
                missing = len(events - found.keys())
                raise SystemExit(f"{missing} of {len(events)} events did not arrive in {_ARRIVE_SECONDS:g} s")
            await asyncio.sleep(0.05)


def latency() -> dict[str, float]:
    """`publish_to_attempt`: of healthy endpoints alone. `healthy_p99_beside_hung_ratio`: their p99 while one
    endpoint more never answers and one answers 500, over that before and after.
    `connections_per_100_deliveries`: to one endpoint, at a steady pace."""
    return _on_ground(_latency)


async def _latency(ground: Ground) -> dict[str, float]:
    start_deliverers(ground.scratch)
    await ground.live(2)  # warm up
    alone = await ground.live()
    beside = await _beside_bad_ones(ground)
    alone += await ground.live()
    _check_rate(alone)
    connections = await _connections(ground)
    return {
        "publish_to_attempt_p50_ms": bench.quantile(alone, 0.5) * 1000,
        "publish_to_attempt_p99_ms": bench.quantile(alone, 0.99) * 1000,
        "healthy_p99_beside_hung_ms": bench.quantile(beside, 0.99) * 1000,
        "healthy_p99_beside_hung_ratio": bench.quantile(beside, 0.99) / bench.quantile(alone, 0.99),
        "connections_per_100_deliveries": connections,
    }


def _check_rate(alone: Sequence[float]) -> None:
    """Where more is published than can be sent, times tell how long it went on, and nothing else."""
    if bench.quantile(alone, 0.5) > SATURATED_SECONDS:
        raise SystemExit(f"{PER_SECOND:g} events/s are more than this machine sends: they wait and wait")


async def _beside_bad_ones(ground: Ground) -> list[float]:
    sink, told = ground.sink, ground.publisher
    bad = [
        await told.endpoint("hung", sink.url(HOSTS, "/hang/hung")),
        await told.endpoint("broken", sink.url(HOSTS + 1, "/status/500/broken")),
    ]
    first = await told.accept(["hung", "broken"] * 10)
    more = await told.accept(["hung", "broken"] * int(BAD_PER_SECOND * SECONDS))
    await told.publish(first)
    await ground.all_arrived("/status/", {event_of(job) for job in first if job.tenant == "broken"})
    found = await ground.live(beside=more)
    if not any(one.path.startswith("/hang/") for one in sink.arrivals()):
        raise SystemExit("nothing was sent to the endpoint that hangs")
    for endpoint in bad:
        await told.resources.endpoints.delete(endpoint)
    await asyncio.sleep(TIMEOUT_SECONDS + 1)  # what hangs comes to its end
    return found


async def _connections(ground: Ground) -> float:
    tenant = ground.tenants[0]
    jobs = await ground.publisher.accept([tenant] * STEADY)
    published = await ground.publisher.publish_at(jobs, STEADY_PER_SECOND)
    await ground.took(published)
    used = {one.connection for one in ground.sink.arrivals() if one.event in published}
    return len(used) * 100 / STEADY


def drain() -> dict[str, float]:
    """`drain_ratio`: how fast one worker process sends what waits, over a bare loop that posts the same
    signed bytes to the same subscribers, as many at once; round by round."""
    return _on_ground(_drain)


async def _drain(ground: Ground) -> dict[str, float]:
    ours, floors = [], []
    for _ in range(ROUNDS):
        jobs = await ground.jobs(BACKLOG)
        await ground.publisher.publish(jobs)
        events = {event_of(job) for job in jobs}
        await _post(await _posts(ground, jobs))
        floors.append(_rate(await ground.all_arrived("/floor/", events)))
        start_deliverers(ground.scratch)
        ours.append(_rate(await ground.all_arrived("/ok/", events)))
        ground.scratch.stop("deliver")
    return {
        "drain_ratio": statistics.median(one / floor for one, floor in zip(ours, floors, strict=True)),
        "drain_per_second": statistics.median(ours),
        "drain_floor_per_second": statistics.median(floors),
    }


def _rate(arrived: dict[str, float]) -> float:
    """From the first arrival to the last: the start of a process does not count."""
    return (len(arrived) - 1) / (max(arrived.values()) - min(arrived.values()))


async def _posts(ground: Ground, jobs: Sequence[Job]) -> bytes:
    """What the worker will send, but to paths of their own."""
    resources = ground.publisher.resources
    by_tenant = {endpoint.tenant: endpoint for endpoint in ground.endpoints}
    async with resources.redis.pipeline(transaction=False) as pipe:
        for job in jobs:
            pipe.hget(keys.event(event_of(job)), "body")
        bodies: list[str] = await pipe.execute()
    lines = []
    for job, body in zip(jobs, bodies, strict=True):
        endpoint = by_tenant[job.tenant]
        secret = endpoint_secret(resources.keyring, endpoint.kid, endpoint.id, endpoint.version)
        signed = signing.sign([secret], event_of(job), int(time.time()), body.encode())
        url = endpoint.url.replace("/ok/", "/floor/")
        lines.append(json.dumps({"url": url, "headers": _CONTENT | signed, "body": body}))
    return "\n".join(lines).encode()


async def _post(posts: bytes) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.posts", str(AT_ONCE)]
    await asyncio.to_thread(subprocess.run, command, input=posts, check=True)


def recovery() -> dict[str, float]:
    """`recovery_live_p99_ratio`: p99 of healthy endpoints while `HELD` events (BENCH_HELD) of another
    tenant's endpoint, which was disabled, are recovered, over that before."""
    return _on_ground(_recovery)


async def _recovery(ground: Ground) -> dict[str, float]:
    scratch, told = ground.scratch, ground.publisher
    scratch.start_gateway()
    began = told.resources.environment.now_ms() - 1000
    held = await told.endpoint("acme", ground.sink.url(HOSTS, "/back/acme"), held=True)
    await told.publish(await told.accept(["acme"] * HELD))
    start_deliverers(scratch)
    await ground.live(2)  # warm up
    alone = await ground.live()
    _check_rate(alone)
    url = f"{scratch.gateway}/v1/endpoints/{held.id}"
    _ask(200, "PATCH", url, scratch.key, {"disabled": False})
    _ask(202, "POST", f"{url}/recover", scratch.key, {"since": rfc3339(began)})
    start = time.time()
    beside = await ground.live()
    took = time.time() - start
    recovered = len(first_of(ground.sink.arrivals(), "/back/"))
    if not 0 < recovered < HELD:
        raise SystemExit(f"{recovered} of {HELD} events were recovered meanwhile: nothing to compare with")
    return {
        "recovery_live_p99_ratio": bench.quantile(beside, 0.99) / bench.quantile(alone, 0.99),
        "recovery_live_p99_ms": bench.quantile(beside, 0.99) * 1000,
        "recovered_per_second": recovered / took,
    }


def _ask(wanted: int, method: str, url: str, key: str, body: dict[str, Any]) -> None:
    status, answer, _ = call(method, url, key, body)
    if status != wanted:
        raise SystemExit(f"{method} {url} was answered {status}: {answer}")


def _on_ground(part: Callable[[Ground], Awaitable[dict[str, float]]]) -> dict[str, float]:
    async def run(scratch: Machine) -> dict[str, float]:
        async with _ground(scratch) as ground:
            return await part(ground)

    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        return asyncio.run(run(scratch))


@contextlib.asynccontextmanager
async def _ground(scratch: Machine) -> AsyncIterator[Ground]:
    scratch.environment |= {
        "GATEWAY_DELIVERY_SLOTS": str(AT_ONCE),
        "GATEWAY_DELIVERY_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
        "GATEWAY_UPSTREAM_SLOTS": "1",  # nothing is sent there
    }
    sink = Sink(scratch, HOSTS + 2)
    tenants = [f"t{number}" for number in range(HOSTS)]
    async with publisher(scratch) as told:
        endpoints = [
            await told.endpoint(tenant, sink.url(number, f"/ok/{tenant}"))
            for number, tenant in enumerate(tenants)
        ]
        yield Ground(scratch, sink, told, tenants, endpoints)
