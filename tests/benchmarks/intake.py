"""(a) Intake: POST /v1/jobs against the floor, in turns, so that a noisy machine is noisy for both."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

from gateway.keyring import Keyring
from tests.benchmarks import bench
from tests.benchmarks.load import request

CONNECTIONS = 32


def measure(rounds: int = 3, seconds: float = 4.0) -> dict[str, float]:
    """Medians over the rounds. `intake_ratio`: the gateway's rate over the floor's."""
    body = json.dumps(bench.BODY).encode()
    with tempfile.TemporaryDirectory() as name, bench.machine(Path(name)) as machine:
        key = machine.key(Keyring.generate())
        requests = [request("/v1/jobs", body, key)]
        gateway, floor = machine.ports["gateway"], machine.ports["floor"]
        with (
            machine.process("gateway", probe=f"http://127.0.0.1:{gateway}/livez") as process,
            machine.process(
                "tests.benchmarks.floor",
                probe=f"http://127.0.0.1:{floor}/healthz",
                more={"GATEWAY_PORT": str(floor)},
            ),
        ):
            for port in (gateway, floor):
                bench.load(port, 4, 0.5, requests)  # warm up
            ours, floors = [], []
            for _ in range(rounds):
                floors.append(bench.load(floor, CONNECTIONS, seconds, requests))
                ours.append(bench.load(gateway, CONNECTIONS, seconds, requests))
            bad = sum(run["bad"] for run in ours + floors)
            if bad:
                raise SystemExit(f"{bad:.0f} requests were not answered with 202")
            rate = statistics.median(run["per_second"] for run in ours)
            floor_rate = statistics.median(run["per_second"] for run in floors)
            return {
                "intake_ratio": rate / floor_rate,
                "intake_per_second": rate,
                "intake_p50_ms": statistics.median(run["p50_ms"] for run in ours),
                "intake_p99_ms": statistics.median(run["p99_ms"] for run in ours),
                "floor_per_second": floor_rate,
                "floor_p99_ms": statistics.median(run["p99_ms"] for run in floors),
                "gateway_rss_mb": bench.resident_mb(process.pid),
            }
