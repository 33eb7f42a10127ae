"""(b) Pipeline: accept, submit, callback, confirm, deliver; real processes, a sandbox without video."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks import bench
from tests.benchmarks.load import request
from tests.processes import ORDER, Machine, call, free_port, machine

JOBS = 1600
PACED_JOBS = 200
PACED_PER_SECOND = 20.0
CONNECTIONS = 16
SLOTS = 64


def measure() -> dict[str, float]:
    """`pipeline_jobs_per_second`: from the first POST to the last webhook of a burst. `callback_to_webhook`:
    from the moment that the sandbox sends its callback to the webhook's arrival, at a quiet 20 jobs/s."""
    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        key = scratch.key
        with _running(scratch) as run:
            run.post(key, 50, pace=None)  # warm up
            run.wait(50, 60)
            began = time.time()
            run.burst(key, JOBS)
            run.wait(50 + JOBS, 120)
            took = max(run.arrivals().values()) - began
            idle = run.idle_cpu()
            paced = run.post(key, PACED_JOBS, pace=PACED_PER_SECOND)
            run.wait(50 + JOBS + PACED_JOBS, 60)
            added = run.added_latency(paced)
            pickup = run.pickup(key, paced)
            calls = len(scratch.ledger("post")) + len(scratch.ledger("get"))
        return {
            "pipeline_jobs_per_second": JOBS / took,
            "callback_to_webhook_p50_ms": bench.quantile(added, 0.5),
            "callback_to_webhook_p99_ms": bench.quantile(added, 0.99),
            "pickup_p50_ms": bench.quantile(pickup, 0.5),
            "idle_cpu_percent": idle,
            "upstream_calls_a_job": calls / (50 + JOBS + PACED_JOBS),
        }


class Run:
    def __init__(self, scratch: Machine, log: Path, subscriber: str) -> None:
        self.scratch, self.log = scratch, log
        self.url = f"{scratch.gateway}/v1/jobs"
        self.body: dict[str, Any] = {**ORDER, "callback_url": subscriber}

    def post(self, key: str, count: int, pace: float | None) -> list[str]:
        names = []
        for _ in range(count):
            began = time.perf_counter()
            names.append(str(call("POST", self.url, key, self.body)[1]["id"]))
            if pace:
                time.sleep(max(0.0, 1 / pace - (time.perf_counter() - began)))
        return names

    def burst(self, key: str, count: int) -> None:
        """Posts as fast as the connections go, each a fixed number of times."""
        text = request("/v1/jobs", json.dumps(self.body).encode(), key)
        found = bench.load(self.scratch.ports["gateway"], CONNECTIONS, 0, [text], least=count // CONNECTIONS)
        if found["bad"]:
            raise SystemExit("a job was not accepted")

    def arrivals(self) -> dict[str, float]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return {job: float(at) for job, at in (line.split() for line in lines)}

    def wait(self, count: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while len(self.arrivals()) < count:
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(self.arrivals())} of {count} webhooks arrived in {seconds} s")
            time.sleep(0.05)

    def added_latency(self, names: list[str]) -> list[float]:
        """Milliseconds between the callback's departure and the webhook's arrival, job by job."""
        sent = {
            fact["callback_token"].split(".")[2]: fact["sent_at"]
            for fact in self.scratch.ledger("callback")
            if fact["status"] == "completed"
        }
        arrivals = self.arrivals()
        return [(arrivals[name] - sent[name]) * 1000 for name in names]

    def pickup(self, key: str, names: list[str]) -> list[float]:
        """Milliseconds from accepted to taken up by a worker."""
        return [self._pickup(key, name) for name in names]

    def _pickup(self, key: str, name: str) -> float:
        _, job, _ = call("GET", f"{self.url}/{name}", key)
        return (bench.moment(job["started_at"]) - bench.moment(job["created_at"])) * 1000

    def idle_cpu(self, seconds: float = 5.0) -> float:
        """The busiest idle process of ours, in percent of a core."""
        time.sleep(2)
        pids = {name: self.scratch.processes[name].pid for name in ("gateway", "workers")}
        pids["valkey"] = self.scratch.valkey.pid
        before = {name: bench.cpu_seconds(pid) for name, pid in pids.items()}
        time.sleep(seconds)
        return max((bench.cpu_seconds(pid) - before[name]) / seconds * 100 for name, pid in pids.items())


@contextmanager
def _running(scratch: Machine) -> Iterator[Run]:
    subscriber, log = free_port(), scratch.folder / "webhooks.txt"
    scratch.environment |= {
        "GATEWAY_UPSTREAM_SLOTS": str(SLOTS),
        "GATEWAY_UPSTREAM_TENANT_SLOTS": str(SLOTS),
        "GATEWAY_DELIVERY_ENDPOINT_SLOTS": "32",
        "GATEWAY_QUERIES_PER_SECOND": "0",  # the sandbox has no limit; the service is what is measured
    }
    scratch.start_sandbox()
    scratch.start(
        "subscriber",
        "tests.benchmarks.subscriber",
        str(subscriber),
        str(log),
        probe=f"http://127.0.0.1:{subscriber}/",
    )
    scratch.start_gateway()
    scratch.start_workers()
    yield Run(scratch, log, f"http://127.0.0.1:{subscriber}/hook")
