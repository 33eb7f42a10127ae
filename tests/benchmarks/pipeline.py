"""Pipeline: accept, submit, callback, confirm, deliver; real processes, a sandbox without video.

Beside the service stands its floor (`bare_pair`), with the same sandbox and subscriber. They take turns.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from gateway.environment import Environment
from tests.benchmarks import bench, store_cost
from tests.benchmarks.figures import Figure, Found, over_floor, p99_ms, quantile
from tests.benchmarks.load import request
from tests.benchmarks.paced import paced
from tests.processes import ORDER, UPSTREAM_KEY, Machine, call, free_port, machine

ROUNDS = 5
WARM_UP = 160
JOBS = 480
PACED_JOBS = 160
PACED_PER_SECOND = 40.0
FINISHED_ROUNDS = 3
FINISHED_JOBS = 480
IDLE_SECONDS = 5.0
CONNECTIONS = 16
SLOTS = 64
DELIVERIES = 32
_SETTLE_SECONDS = 1.0
_ARRIVE_SECONDS = 120.0


def measure() -> Found:
    """`pipeline_jobs_per_second`: from the first POST to the last webhook of a burst; `pipeline_ratio`: over
    the floor. `callback_to_webhook`: from the moment that the sandbox sends its callback to the webhook's
    arrival, at a steady rate. `store_...`: of the bursts. `finished_job_bytes`: what stays in the store."""
    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch, running(scratch) as run:
        burst = _bursts(run)
        latency = _latencies(run)
        memory = _finished(run)
    return Found(
        {**burst.figures, **latency.figures, **memory.figures},
        {**burst.details, **latency.details, **memory.details},
        [*burst.notes, *memory.notes],
    )


class Run:
    """The service and its floor, and what the subscriber received."""

    def __init__(self, scratch: Machine, log: Path, subscriber: str, floor: int) -> None:
        self.scratch, self.subscriber, self.floor = scratch, subscriber, floor
        self.client = redis.Redis.from_url(scratch.url)
        self._log = log
        self._read = 0
        self._arrivals: dict[str, float] = {}

    def burst(self, count: int, *, floor: bool = False, callback_url: bool = True) -> float:
        """Posts so many jobs as fast as the connections go. Seconds from the first POST to the last webhook;
        they are followed by whatever the service still does with the jobs."""
        before = len(self.arrivals())
        port = self.floor if floor else self.scratch.ports["gateway"]
        body = self.order(callback_url=callback_url and not floor)
        text = request("/v1/jobs", json.dumps(body).encode(), self.scratch.key)
        run = bench.load(port, CONNECTIONS, 0, [text], least=count // CONNECTIONS)
        if run["bad"]:
            raise SystemExit("a job was not accepted")
        self._wait(before + count)
        return max(self._arrivals.values()) - run["began"]

    def order(self, *, callback_url: bool) -> dict[str, Any]:
        return {**ORDER, "callback_url": self.subscriber} if callback_url else ORDER

    def paced(self) -> list[float]:
        """Seconds from the callback's departure to the webhook's arrival, job by job."""
        names, before = [], len(self.arrivals())
        body, url = self.order(callback_url=True), f"{self.scratch.gateway}/v1/jobs"
        began = time.perf_counter()
        for number in range(PACED_JOBS):
            time.sleep(max(0.0, began + number / PACED_PER_SECOND - time.perf_counter()))
            names.append(str(call("POST", url, self.scratch.key, body)[1]["id"]))
        self._wait(before + PACED_JOBS)
        sent = {
            fact["callback_token"].split(".")[2]: fact["sent_at"]
            for fact in self.scratch.ledger("callback")
            if fact["status"] == "completed"
        }
        return [self._arrivals[name] - sent[name] for name in names]

    def paced_floor(self) -> list[float]:
        """Seconds from before the durable write to the webhook's arrival, at the same rate."""
        before, new_id = len(self.arrivals()), Environment().new_job_id
        posts = [
            {"name": name, "url": self.subscriber, "headers": {}, "body": json.dumps({"id": name} | ORDER)}
            for name in (new_id() for _ in range(PACED_JOBS))
        ]
        for post in posts:
            post["body"] = str(post["body"]).replace(": ", ":")  # as the service writes it
        began = paced(self.scratch.environment, PACED_PER_SECOND, posts)
        self._wait(before + PACED_JOBS)
        return [self._arrivals[name] - at for name, at in began.items()]

    def arrivals(self) -> dict[str, float]:
        """{job: when its webhook arrived}"""
        if self._log.exists():
            with self._log.open("rb") as file:
                file.seek(self._read)
                whole = file.read().rpartition(b"\n")[0]
            self._read += len(whole) + 1 if whole else 0
            for line in whole.decode().splitlines():
                job, at = line.split()
                self._arrivals.setdefault(job, float(at))
        return self._arrivals

    def _wait(self, count: int) -> None:
        deadline = time.monotonic() + _ARRIVE_SECONDS
        while len(self.arrivals()) < count:
            if time.monotonic() > deadline:
                found = len(self.arrivals())
                raise SystemExit(f"{found} of {count} webhooks arrived in {_ARRIVE_SECONDS:g} s")
            time.sleep(0.02)


def _bursts(run: Run) -> Found:
    for floor in (True, False):
        run.burst(WARM_UP, floor=floor)
    time.sleep(_SETTLE_SECONDS)
    idle, busiest = _idle(run)
    floors, ours, costs = [], [], []
    for _ in range(ROUNDS):
        floors.append(JOBS / run.burst(JOBS, floor=True))
        before = store_cost.calls(run.client)
        ours.append(JOBS / run.burst(JOBS))
        time.sleep(_SETTLE_SECONDS)  # the last attempts are being recorded
        costs.append(store_cost.cost(before, store_cost.calls(run.client), idle, JOBS))
    asked = [fact for kind in ("post", "get") for fact in run.scratch.ledger(kind)]
    made = len(run.arrivals())
    return Found(
        {
            "pipeline_ratio": over_floor(ours, floors),
            "pipeline_jobs_per_second": Figure(ours, floors),
            "store_scripts_per_job": Figure([scripts for scripts, _ in costs]),
            "store_commands_per_job": Figure([commands for _, commands in costs]),
        },
        {
            "pipeline_floor_jobs_per_second": floors,
            "idle_cpu_percent": [busiest],
            "idle_store_commands_per_second": [sum(idle.values())],
            "upstream_calls_per_job": [len(asked) / made],
        },
    )


def _idle(run: Run) -> tuple[dict[str, float], float]:
    """What idle processes ask of the store per second, by command; CPU of the busiest, percent of a core."""
    scratch = run.scratch
    pids = [*(scratch.processes[name].pid for name in ("gateway", "workers")), scratch.valkey.pid]
    before, cpu = store_cost.calls(run.client), [bench.cpu_seconds(pid) for pid in pids]
    time.sleep(IDLE_SECONDS)
    spent = [bench.cpu_seconds(pid) - start for pid, start in zip(pids, cpu, strict=True)]
    return store_cost.per_second(before, store_cost.calls(run.client)), max(spent) / IDLE_SECONDS * 100


def _latencies(run: Run) -> Found:
    floors, ours = [], []
    for _ in range(ROUNDS):
        floors.append(run.paced_floor())
        ours.append(run.paced())
    return Found(
        {"callback_to_webhook_p99_ratio": over_floor(_p99(ours), _p99(floors))},
        {
            "callback_to_webhook_p50_ms": [quantile(times, 0.5) * 1000 for times in ours],
            "callback_to_webhook_p99_ms": _p99(ours),
            "callback_to_webhook_floor_p99_ms": _p99(floors),
        },
    )


def _p99(rounds: Sequence[Sequence[float]]) -> list[float]:
    return [p99_ms(times) for times in rounds]


def _finished(run: Run) -> Found:
    """With one registered endpoint, and no URL in the job."""
    answer = call("POST", f"{run.scratch.gateway}/v1/endpoints", run.scratch.key, {"url": run.subscriber})
    if answer[0] != 201:
        raise SystemExit(f"an endpoint was not created: {answer[1]}")
    run.burst(WARM_UP, callback_url=False)
    time.sleep(_SETTLE_SECONDS)
    kinds, used = store_cost.by_kind(run.client), []
    for _ in range(FINISHED_ROUNDS):
        before = store_cost.used_bytes(run.client)
        run.burst(FINISHED_JOBS, callback_url=False)
        time.sleep(_SETTLE_SECONDS)
        used.append((store_cost.used_bytes(run.client) - before) / FINISHED_JOBS)
    grown = store_cost.by_kind(run.client)
    grown.subtract(kinds)
    return Found({"finished_job_bytes": Figure(used)}, {}, _breakdown(grown))


def _breakdown(grown: Counter[str], least: float = 20.0) -> list[str]:
    """Bytes a job by kind of key, largest first; small ones together."""
    jobs = FINISHED_JOBS * FINISHED_ROUNDS
    each = {kind: size / jobs for kind, size in grown.most_common()}
    shown = [f"{kind} {size:.0f}" for kind, size in each.items() if size >= least]
    rest = sum(size for size in each.values() if size < least)
    return [f"finished_job_bytes by kind of key: {', '.join(shown)}, others {rest:.0f}"]


@contextmanager
def running(scratch: Machine) -> Iterator[Run]:
    """The service, a sandbox and a subscriber, and the floor."""
    subscriber, floor, log = free_port(), free_port(), scratch.folder / "webhooks.txt"
    hook = f"http://127.0.0.1:{subscriber}/hook"
    scratch.environment |= {
        "GATEWAY_UPSTREAM_SLOTS": str(SLOTS),
        "GATEWAY_UPSTREAM_TENANT_SLOTS": str(SLOTS),
        "GATEWAY_DELIVERY_ENDPOINT_SLOTS": str(DELIVERIES),
        "GATEWAY_QUERIES_PER_SECOND": "0",  # the sandbox has no limit; the service is what is measured
    }
    scratch.start_sandbox()
    scratch.start("subscriber", "tests.benchmarks.subscriber", str(subscriber), str(log), probe=hook)
    socket = str(scratch.folder / "pair")
    child = scratch.start("bare gateway", "tests.benchmarks.bare_pair", "gateway", str(floor), socket)
    while not Path(socket).exists():
        if child.poll() is not None:
            raise SystemExit(scratch.log("bare gateway"))
        time.sleep(0.01)
    base = f"http://127.0.0.1:{floor}"
    limits = str(SLOTS), str(DELIVERIES)
    words = ("worker", socket, base, scratch.sandbox, UPSTREAM_KEY, hook, *limits)
    scratch.start("bare worker", "tests.benchmarks.bare_pair", *words, probe=f"{base}/healthz")
    scratch.start_gateway()
    scratch.start_workers()
    yield Run(scratch, log, hook, floor)
