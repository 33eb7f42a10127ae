"""What budgets cost: CPU of gateway and store for each accepted job, with and without budgets."""

from __future__ import annotations

import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import redis

from gateway.money.budgets import Budget, Period, field_of
from tests.benchmarks.figures import Figure, Found
from tests.processes import ORDER, Machine, free_port, machine
from tests.promises.faults.world import PRICES

ROUNDS = 12
JOBS = 250
_CLIENTS = 8
_BODY = orjson.dumps(ORDER)
_TICKS = 100  # of /proc, a second


def measure() -> Found:
    """`budgets_cpu_ratio`: of two gateways at one store, in turns: one with prices, for a tenant with budgets
    of the day and the month and a key with one of the day; one without prices, for one without budgets."""
    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        bases = {}
        for kind, more in (("off", {}), ("on", {"GATEWAY_PRICES_FILE": str(PRICES)})):
            port = str(free_port())
            bases[kind] = f"http://127.0.0.1:{port}"
            more = {**more, "GATEWAY_PORT": port, "GATEWAY_TENANT_REQUEST_RATE": "0"}
            scratch.start(kind, "gateway", probe=f"{bases[kind]}/livez", more=more)
        keys = {"off": scratch.make_key("free"), "on": scratch.make_key("bound")}
        with redis.Redis.from_url(scratch.url) as client:
            owner = keys["on"].split("_")[1]
            for field in (field_of(Period.DAY), field_of(Period.MONTH), field_of(Period.DAY, owner)):
                client.hset("{gw}:tenant:bound:settings", field, Budget(10**15, hard=True).dump())
            numbers = count()
            spent: dict[str, list[float]] = {"off": [], "on": []}
            for turn in range(ROUNDS + 1):
                for kind in ("off", "on") if turn % 2 else ("on", "off"):
                    before = _cpu(scratch, kind, client)
                    _post(bases[kind], keys[kind], numbers)
                    if turn:  # the first one warms up
                        spent[kind].append((_cpu(scratch, kind, client) - before) / JOBS * 1e6)
        ratio = Figure([on / off for on, off in zip(spent["on"], spent["off"], strict=True)], spent["off"])
        rates = {f"accept_cpu_us_budgets_{kind}": found for kind, found in spent.items()}
    return Found({"budgets_cpu_ratio": ratio}, rates)


def _cpu(scratch: Machine, name: str, client: redis.Redis) -> float:
    """Seconds of CPU of the gateway and the store until now."""
    fields = Path(f"/proc/{scratch.processes[name].pid}/stat").read_text().rpartition(")")[2].split()
    used: Any = client.info("cpu")
    gateway = (int(fields[11]) + int(fields[12])) / _TICKS
    return gateway + float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def _post(base: str, key: str, numbers: Iterator[int]) -> None:
    def post(number: int) -> None:
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Idempotency-Key": f"bench-{number}-{time.monotonic_ns()}",
        }
        request = urllib.request.Request(f"{base}/v1/jobs", _BODY, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            if answer.status != 202:
                raise SystemExit(f"a job was not accepted: {answer.status}")

    with ThreadPoolExecutor(_CLIENTS) as pool:
        list(pool.map(post, [next(numbers) for _ in range(JOBS)]))
