"""(b) Pipeline: accept, submit, callback, confirm, deliver; real processes, a sandbox without video."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from gateway.keyring import Keyring
from tests.benchmarks import bench
from tests.benchmarks.load import request

JOBS = 1600
PACED_JOBS = 200
PACED_PER_SECOND = 20.0
CONNECTIONS = 16
SLOTS = 64


def measure() -> dict[str, float]:
    """`pipeline_jobs_per_second`: from the first POST to the last webhook of a burst. `callback_to_webhook`:
    from the moment that the sandbox sends its callback to the webhook's arrival, at a quiet 20 jobs/s."""
    with tempfile.TemporaryDirectory() as name, bench.machine(Path(name)) as machine:
        key = machine.key(Keyring.generate())
        with _running(machine) as run:
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
        return {
            "pipeline_jobs_per_second": JOBS / took,
            "callback_to_webhook_p50_ms": bench.quantile(added, 0.5),
            "callback_to_webhook_p99_ms": bench.quantile(added, 0.99),
            "pickup_p50_ms": bench.quantile(pickup, 0.5),
            "idle_cpu_percent": idle,
        }


class Run:
    def __init__(self, machine: bench.Machine, log: Path, subscriber: str, pids: dict[str, int]) -> None:
        self.machine, self.log, self.pids = machine, log, pids
        self.url = f"http://127.0.0.1:{machine.ports['gateway']}/v1/jobs"
        self.body: dict[str, Any] = {**bench.BODY, "callback_url": subscriber}

    def post(self, key: str, count: int, pace: float | None) -> list[str]:
        names = []
        for _ in range(count):
            began = time.perf_counter()
            names.append(str(bench.post(self.url, self.body, key)["id"]))
            if pace:
                time.sleep(max(0.0, 1 / pace - (time.perf_counter() - began)))
        return names

    def burst(self, key: str, count: int) -> None:
        """Posts as fast as the connections go, each a fixed number of times."""
        text = request("/v1/jobs", json.dumps(self.body).encode(), key)
        found = bench.load(self.machine.ports["gateway"], CONNECTIONS, 0, [text], least=count // CONNECTIONS)
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
        ledger = self.machine.folder / "sandbox" / "ledger.jsonl"
        sent: dict[str, float] = {}
        for line in ledger.read_text().splitlines():
            fact = json.loads(line)
            if fact["kind"] == "callback" and fact["status"] == "completed":
                sent[fact["callback_token"].split(".")[2]] = fact["sent_at"]
        arrivals = self.arrivals()
        return [(arrivals[name] - sent[name]) * 1000 for name in names]

    def pickup(self, key: str, names: list[str]) -> list[float]:
        """Milliseconds from accepted to taken up by a worker."""
        return [self._pickup(key, name) for name in names]

    def _pickup(self, key: str, name: str) -> float:
        job = bench.get(f"{self.url}/{name}", key)
        return (bench.moment(job["started_at"]) - bench.moment(job["created_at"])) * 1000

    def idle_cpu(self, seconds: float = 5.0) -> float:
        """The busiest idle process of ours, in percent of a core."""
        time.sleep(2)
        before = {name: bench.cpu_seconds(pid) for name, pid in self.pids.items()}
        time.sleep(seconds)
        return max((bench.cpu_seconds(pid) - before[name]) / seconds * 100 for name, pid in self.pids.items())


@contextmanager
def _running(machine: bench.Machine) -> Iterator[Run]:
    sandbox, gateway = machine.ports["sandbox"], machine.ports["gateway"]
    subscriber, log = bench.free_port(), machine.folder / "webhooks.txt"
    options = {
        "--port": str(sandbox),
        "--data-dir": str(machine.folder / "sandbox"),
        "--key": bench.UPSTREAM_KEY,
        "--render": "none",
        "--task-seconds": "0.05",
        "--callback-style": "vtrix",
    }
    more = {"GATEWAY_UPSTREAM_SLOTS": str(SLOTS), "GATEWAY_UPSTREAM_TENANT_SLOTS": str(SLOTS)}
    machine.environment |= more
    flat = [word for option in options.items() for word in option]
    with ExitStack() as stack:
        start = stack.enter_context
        start(machine.process("gateway.sandbox", *flat, probe=f"http://127.0.0.1:{sandbox}/healthz"))
        start(
            machine.process(
                "tests.benchmarks.subscriber",
                str(subscriber),
                str(log),
                probe=f"http://127.0.0.1:{subscriber}/",
            )
        )
        web = start(machine.process("gateway", probe=f"http://127.0.0.1:{gateway}/readyz"))
        workers = start(machine.process("workers"))
        pids = {"gateway": web.pid, "workers": workers.pid, "valkey": machine.valkey_pid}
        yield Run(machine, log, f"http://127.0.0.1:{subscriber}/hook", pids)
