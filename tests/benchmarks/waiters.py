"""Those who wait: what thousands of waits and streams cost a gateway, and how soon they are notified."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gateway.jobs import Job
from tests.benchmarks import bench
from tests.benchmarks.figures import Figure, Found, p99_ms, quantile
from tests.processes import Machine, machine
from tests.publisher import Publisher, publisher

WAITERS = int(os.environ.get("BENCH_WAITERS", "10000"))
TENANTS = 20
#: Of each job: so many waits and as many streams.
EACH = 5
#: A wait lasts 60 s at most, the time in which all of them are opened included.
TOLD_JOBS = 200
PER_SECOND = 20.0
KINDS = ("wait", "stream")
_SPARE_FILES = 500
_OPEN_SECONDS = 45.0
_SETTLE_SECONDS = 1.0


def measure() -> Found:
    """`waiters_rss_mb`: by how much the gateway grows. `waiters_told`: from just before the script that ends
    a job to the last byte for one who waits for it, while all others go on waiting."""
    _allow_files(WAITERS + _SPARE_FILES)
    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        scratch.environment |= {"GATEWAY_UPSTREAM_SLOTS": "1", "GATEWAY_STREAMS_MAX": str(WAITERS)}
        names = {f"t{number}": scratch.make_key(f"t{number}") for number in range(TENANTS)}
        scratch.start_gateway()
        return asyncio.run(_measure(scratch, names))


async def _measure(scratch: Machine, tenants: dict[str, str]) -> Found:
    names = list(tenants)
    count = WAITERS // len(KINDS) // EACH
    async with publisher(scratch) as told:
        warm, jobs = await told.accept(names), await told.accept([names[n % TENANTS] for n in range(count)])
        gateway = scratch.processes["gateway"].pid
        await _warm_up(scratch, told, warm, tenants)
        before = bench.resident_mb(gateway)
        crowds = [_Crowd(scratch, kind, jobs * EACH, tenants) for kind in KINDS]
        try:
            await _until_open(crowds)
            await asyncio.sleep(_SETTLE_SECONDS)  # the last waits were asked for a moment ago
            grown = bench.resident_mb(gateway) - before
            some = jobs[:TOLD_JOBS]
            times = await _publish(told, crowds, some)
        finally:
            for crowd in crowds:
                crowd.end()
    return Found(
        {"waiters_told_p99_ms": Figure([p99_ms(times)])},
        {"waiters_rss_mb": [grown], "waiters_told_p50_ms": [quantile(times, 0.5) * 1000]},
    )


async def _publish(told: Publisher, crowds: Sequence[_Crowd], jobs: Sequence[Job]) -> list[float]:
    """Seconds from a job's end to the last byte for each who waited for it."""
    published = await told.publish_at(jobs, PER_SECOND)
    at = dict(zip((job.id for job in jobs), published.values(), strict=True))
    wanted = len(jobs) * EACH
    deadline = time.monotonic() + _OPEN_SECONDS
    while any(len(crowd.told()) < wanted for crowd in crowds):
        if time.monotonic() > deadline:
            found = [len(crowd.told()) for crowd in crowds]
            raise SystemExit(f"{found} of {wanted} waits and streams were told")
        for crowd in crowds:
            crowd.check()
        await asyncio.sleep(0.1)
    return [when - at[job] for crowd in crowds for when, job in crowd.told()]


async def _warm_up(scratch: Machine, told: Publisher, jobs: Sequence[Job], tenants: dict[str, str]) -> None:
    """A few of each kind, so that what the process needs once is there before it is weighed."""
    crowds = [_Crowd(scratch, kind, jobs, tenants, "warm") for kind in KINDS]
    try:
        await _until_open(crowds)
        await told.publish(jobs)
        await asyncio.sleep(_SETTLE_SECONDS)
    finally:
        for crowd in crowds:
            crowd.end()


async def _until_open(crowds: Sequence[_Crowd]) -> None:
    deadline = time.monotonic() + _OPEN_SECONDS
    while not all(crowd.is_open() for crowd in crowds):
        for crowd in crowds:
            crowd.check()
        if time.monotonic() > deadline:
            raise SystemExit(f"{WAITERS} waits and streams could not be opened in {_OPEN_SECONDS:g} s")
        await asyncio.sleep(0.1)


class _Crowd:
    """A process of clients that wait, one for each of these jobs."""

    def __init__(
        self, scratch: Machine, kind: str, jobs: Sequence[Job], keys: dict[str, str], name: str = "crowd"
    ) -> None:
        self._log = scratch.folder / f"{name}-{kind}.txt"
        self._log.touch()
        port = str(scratch.ports["gateway"])
        command = [sys.executable, "-m", "tests.benchmarks.waiting", port, kind, str(self._log)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
        assert self._child.stdin is not None
        self._child.stdin.writelines(f"{job.id} {keys[job.tenant]}\n" for job in jobs)
        self._child.stdin.close()

    def check(self) -> None:
        if self._child.poll() is not None:
            raise SystemExit("those who wait gave up")

    def is_open(self) -> bool:
        return b"open\n" in self._log.read_bytes()

    def told(self) -> list[tuple[float, str]]:
        """When, of which job."""
        lines = [line.split() for line in self._log.read_text().splitlines() if " " in line]
        return [(float(at), job) for at, job in lines]

    def end(self) -> None:
        self._child.kill()
        self._child.wait()


def _allow_files(wanted: int) -> None:
    """For this process, and so for those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(
            f"SKIPPED: {WAITERS} waiters need {wanted} open files in one process, and the hard limit is "
            f"{hard}; raise it (ulimit -Hn), or measure fewer (BENCH_WAITERS)"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
