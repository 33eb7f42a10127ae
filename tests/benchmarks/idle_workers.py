"""What idle workers cost the store: its CPU and who asks what, beside few and beside many of them."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.benchmarks import bench, store_cost
from tests.benchmarks.figures import Figure, Found
from tests.nursery import Nursery
from tests.processes import Machine, machine

FEW, MANY = 4, 16
WORKERS = 100
SECONDS = 30.0
_SETTLE_SECONDS = 10.0
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Idle:
    """`percent`: of one core that the store spends. `calls`: of commands, for each second."""

    percent: float
    calls: Counter[str]


def measure() -> Found:
    """`idle_store_percent_at_100_workers`: of one core, from the store's CPU beside 4 and beside 16 worker
    processes of all roles and one gateway, none of which has anything to do."""
    with Nursery() as nursery, tempfile.TemporaryDirectory() as name, machine(Path(name), nursery) as scratch:
        scratch.start_gateway()
        _start(scratch, FEW)
        few = _idle(scratch)
        _start(scratch, MANY)
        many = _idle(scratch)
    each = (many.percent - few.percent) / (MANY - FEW)
    calls = {kind: (many.calls[kind] - few.calls[kind]) / (MANY - FEW) for kind in many.calls}
    most = sorted(((n, kind) for kind, n in calls.items()), reverse=True)[:_SHOWN]
    return Found(
        {"idle_store_percent_at_100_workers": Figure([few.percent + (WORKERS - FEW) * each])},
        {
            f"idle_store_percent_at_{FEW}_workers": [few.percent],
            f"idle_store_percent_at_{MANY}_workers": [many.percent],
            "idle_store_commands_per_worker_second": [sum(calls.values())],
        },
        ["an idle worker asks, per second: " + ", ".join(f"{kind} {n:.2f}" for n, kind in most)],
    )


def _start(scratch: Machine, count: int) -> None:
    """Until there are so many."""
    for number in range(count):
        if (name := f"workers{number}") not in scratch.processes:
            scratch.start_workers(name)


def _idle(scratch: Machine) -> Idle:
    with redis.Redis.from_url(scratch.url) as client:
        time.sleep(_SETTLE_SECONDS)
        before, spent = store_cost.calls(client), bench.cpu_seconds(scratch.valkey.pid)
        time.sleep(SECONDS)
        spent = bench.cpu_seconds(scratch.valkey.pid) - spent
        after = store_cost.calls(client)
    per_second = Counter(store_cost.per_second(before, after))
    return Idle(100 * spent / (after.at - before.at), per_second)
