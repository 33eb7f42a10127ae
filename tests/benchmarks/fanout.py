"""The fan-out: how soon subscribers are notified, also beside some that hang, fail or catch up.

Events come from jobs that are canceled while they wait, at a constant rate, whatever became of those before.
What is measured is the time from just before the script that ends the job to the head of its first POST.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.delivery import signing
from gateway.delivery.secrets import endpoint_secret
from gateway.endpoints import Endpoint
from gateway.jobs import Job, rfc3339
from gateway.store import event_bodies, keys
from tests.benchmarks.figures import Figure, Found, over_floor, p99_ms, quantile
from tests.benchmarks.paced import paced
from tests.benchmarks.sink import Sink, first_of
from tests.processes import Machine, call, machine
from tests.publisher import Publisher, event_of, publisher, start_deliverers

HOSTS = 100
PER_SECOND = 200.0
SECONDS = 3.0
BAD_PER_SECOND = 20.0
STEADY_PER_SECOND = 20.0
STEADY = 100
TIMEOUT_SECONDS = 5.0  # beside the hung one alone: a busy machine may be late elsewhere
SATURATED_SECONDS = 0.5
BACKLOG = 1500
ROUNDS = 5
AT_ONCE = 100
HELD = int(os.environ.get("BENCH_HELD", "1000"))
_ARRIVE_SECONDS = 60.0
_CONTENT = {"Content-Type": "application/json"}
_BODY_BYTES = 900  # about what an event has


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

    async def live(self, jobs: Sequence[Job] = (), beside: Sequence[Job] = ()) -> list[float]:
        """Seconds from the publication of each event to its first attempt, at the steady rate.
        `jobs`: whose events, if they were made in advance. `beside`: the events of these are published too,
        spread over the same time."""
        jobs = jobs or await self.jobs(int(PER_SECOND * SECONDS))
        published, _ = await asyncio.gather(
            self.publisher.publish_at(jobs, PER_SECOND),
            self.publisher.publish_at(beside, max(1, len(beside)) / SECONDS),
        )
        return await self.took(published)

    async def steady(self) -> list[float]:
        """The same, of processes that are warm and have nothing else to do."""
        times = await self.live()
        if quantile(times, 0.5) > SATURATED_SECONDS:
            # Where more is published than can be sent, times show how long it went on, and nothing else.
            raise SystemExit(f"{PER_SECOND:g} events/s are more than this machine sends: they wait and wait")
        return times

    async def floor(self) -> list[float]:
        """The same of a bare loop, at the same rate, to the same subscribers."""
        names = [f"evt_{secrets.token_hex(16)}" for _ in range(int(PER_SECOND * SECONDS))]
        posts = [
            {
                "name": name,
                "url": self.sink.url(number % HOSTS, "/floor/paced"),
                "headers": _CONTENT | {"webhook-id": name},
                "body": "x" * _BODY_BYTES,
            }
            for number, name in enumerate(names)
        ]
        began = await asyncio.to_thread(paced, self.scratch.environment, PER_SECOND, posts)
        arrived = await self.all_arrived("/floor/", set(names))
        return [arrived[name] - began[name] for name in names]

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


def latency() -> Found:
    """`publish_to_attempt_p99_ms`: from the first second after the start of a worker process; `_warm_`: after
    that; `_ratio`: of the warm ones, over a bare loop that does one durable write and one POST for each."""
    return _on_ground(_latency)


async def _latency(ground: Ground) -> Found:
    start_deliverers(ground.scratch)
    await ground.live()  # warms up the publisher and the subscribers
    ground.scratch.stop("deliver")
    cold, warm, floors = [], [], []
    for _ in range(ROUNDS):
        floors.append(await ground.floor())
        jobs = await ground.jobs(int(PER_SECOND * SECONDS))
        start_deliverers(ground.scratch)
        cold.append(await ground.live(jobs))
        warm.append(await ground.steady())
        ground.scratch.stop("deliver")
    return Found(
        {
            "publish_to_attempt_p99_ms": Figure(_p99(cold), _p99(floors)),
            "publish_to_attempt_warm_p99_ms": Figure(_p99(warm), _p99(floors)),
            "publish_to_attempt_p99_ratio": over_floor(_p99(warm), _p99(floors)),
        },
        {
            "publish_to_attempt_p50_ms": _p50(cold),
            "publish_to_attempt_warm_p50_ms": _p50(warm),
            "publish_to_attempt_floor_p50_ms": _p50(floors),
            "publish_to_attempt_floor_p99_ms": _p99(floors),
        },
    )


def _p50(rounds: Sequence[Sequence[float]]) -> list[float]:
    return [quantile(times, 0.5) * 1000 for times in rounds]


def _p99(rounds: Sequence[Sequence[float]]) -> list[float]:
    return [p99_ms(times) for times in rounds]


def hung() -> Found:
    """`healthy_p99_beside_hung_ratio`: of healthy endpoints while one endpoint more never answers and one
    answers 500, over that just before."""
    return _on_ground(_hung)


async def _hung(ground: Ground) -> Found:
    ground.scratch.environment["GATEWAY_DELIVERY_TIMEOUT_SECONDS"] = str(TIMEOUT_SECONDS)
    start_deliverers(ground.scratch)
    await ground.live()  # warm up
    alone, beside = [], []
    for number in range(ROUNDS):
        alone.append(await ground.steady())
        beside.append(await _beside_bad_ones(ground, str(number)))
    connections = await _connections(ground)
    return Found(
        {"healthy_p99_beside_hung_ratio": over_floor(_p99(beside), _p99(alone))},
        {
            "healthy_p99_alone_ms": _p99(alone),
            "healthy_p99_beside_hung_ms": _p99(beside),
            "connections_per_100_deliveries": [connections],
        },
    )


async def _beside_bad_ones(ground: Ground, name: str) -> list[float]:
    """Bad ones of this round alone: those of the round before are known to be bad."""
    sink, told = ground.sink, ground.publisher
    hung, broken = f"hung{name}", f"broken{name}"
    bad = [
        await told.endpoint(hung, sink.url(HOSTS, f"/hang/{hung}")),
        await told.endpoint(broken, sink.url(HOSTS + 1, f"/status/500/{broken}")),
    ]
    first = await told.accept([hung, broken] * 10)
    more = await told.accept([hung, broken] * int(BAD_PER_SECOND * SECONDS))
    await told.publish(first)
    await ground.all_arrived("/status/", {event_of(job) for job in first if job.tenant == broken})
    found = await ground.live(beside=more)
    if not first_of(sink.arrivals(), f"/hang/{hung}"):
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


def drain() -> Found:
    """`drain_ratio`: how fast one worker process sends what waits, over a bare loop that posts the same
    signed bytes to the same subscribers, as many at once. `drain_two_ratio`: two processes over one."""
    return _on_ground(_drain)


async def _drain(ground: Ground) -> Found:
    ones, twos, floors = [], [], []
    for _ in range(ROUNDS):
        jobs = await ground.jobs(BACKLOG)
        one = await _drained(ground, jobs, ["deliver"])
        await _post(await _posts(ground, jobs))
        floor = _rate(await ground.all_arrived("/floor/", {event_of(job) for job in jobs}))
        two = await _drained(ground, await ground.jobs(BACKLOG), ["deliver", "deliver 2"])
        floors.append(floor)
        ones.append(one)
        twos.append(two)
    return Found(
        {"drain_ratio": over_floor(ones, floors), "drain_two_ratio": over_floor(twos, ones)},
        {"drain_per_second": ones, "drain_two_per_second": twos, "drain_floor_per_second": floors},
    )


async def _drained(ground: Ground, jobs: Sequence[Job], names: Sequence[str]) -> float:
    """Events of the jobs that worker processes of these names send per second. They are up and stand still
    while the backlog is made, so that their start does not count."""
    scratch = ground.scratch
    for name in names:
        start_deliverers(scratch, name)
    _signal(scratch, names, signal.SIGSTOP)
    await ground.publisher.publish(jobs)
    _signal(scratch, names, signal.SIGCONT)
    rate = _rate(await ground.all_arrived("/ok/", {event_of(job) for job in jobs}))
    for name in names:
        scratch.stop(name)
    return rate


def _signal(scratch: Machine, names: Sequence[str], number: signal.Signals) -> None:
    for name in names:
        os.kill(scratch.processes[name].pid, number)


def _rate(arrived: dict[str, float]) -> float:
    """From the first arrival to the last."""
    return (len(arrived) - 1) / (max(arrived.values()) - min(arrived.values()))


async def _posts(ground: Ground, jobs: Sequence[Job]) -> bytes:
    """What the worker will send, but to paths of their own."""
    resources = ground.publisher.resources
    by_tenant = {endpoint.tenant: endpoint for endpoint in ground.endpoints}
    async with resources.redis.pipeline(transaction=False) as pipe:
        for job in jobs:
            pipe.hgetall(keys.event(event_of(job)))
        bodies = [(event_bodies.load(fields) or b"").decode() for fields in await pipe.execute()]
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


def recovery() -> Found:
    """`recovery_live_p99_ratio`: p99 of healthy endpoints while `HELD` events (BENCH_HELD) of another
    tenant's endpoint, which was disabled, are recovered, over that just before."""
    return _on_ground(_recovery)


async def _recovery(ground: Ground) -> Found:
    scratch, told = ground.scratch, ground.publisher
    scratch.start_gateway()
    began = told.resources.environment.now_ms() - 1000
    held = []
    for number in range(ROUNDS):
        tenant = f"held{number}"
        held.append(await told.endpoint(tenant, ground.sink.url(HOSTS, f"/back/{tenant}"), held=True))
        await told.publish(await told.accept([tenant] * HELD))
    start_deliverers(scratch)
    await ground.live()  # warm up
    alone, beside, rates = [], [], []
    for endpoint in held:
        alone.append(await ground.steady())
        key = await asyncio.to_thread(scratch.make_key, endpoint.tenant)
        url = f"{scratch.gateway}/v1/endpoints/{endpoint.id}"
        _ask(200, "PATCH", url, key, {"disabled": False})
        _ask(202, "POST", f"{url}/recover", key, {"since": rfc3339(began)})
        start = time.time()
        beside.append(await ground.live())
        recovered, took = (
            len(first_of(ground.sink.arrivals(), urlsplit(endpoint.url).path)),
            time.time() - start,
        )
        if not 0 < recovered < HELD:
            raise SystemExit(
                f"{recovered} of {HELD} events were recovered meanwhile: nothing to compare with"
            )
        rates.append(recovered / took)
        await told.resources.endpoints.delete(endpoint)
        await asyncio.sleep(1)
    return Found(
        {"recovery_live_p99_ratio": over_floor(_p99(beside), _p99(alone))},
        {
            "recovery_alone_p99_ms": _p99(alone),
            "recovery_live_p99_ms": _p99(beside),
            "recovered_per_second": rates,
        },
    )


def _ask(wanted: int, method: str, url: str, key: str, body: dict[str, Any]) -> None:
    status, answer, _ = call(method, url, key, body)
    if status != wanted:
        raise SystemExit(f"{method} {url} was answered {status}: {answer}")


def _on_ground(part: Callable[[Ground], Awaitable[Found]]) -> Found:
    async def run(scratch: Machine) -> Found:
        async with _ground(scratch) as ground:
            return await part(ground)

    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        return asyncio.run(run(scratch))


@contextlib.asynccontextmanager
async def _ground(scratch: Machine) -> AsyncIterator[Ground]:
    scratch.environment |= {
        "GATEWAY_DELIVERY_SLOTS": str(AT_ONCE),
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
