"""(a) Intake: POST /v1/jobs against the floor, in turns, so that a noisy machine is noisy for both."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

from tests.benchmarks import bench
from tests.benchmarks.load import request
from tests.processes import ORDER, free_port, machine

CONNECTIONS = 32


def measure(rounds: int = 9, seconds: float = 1.5) -> dict[str, float]:
    """Medians over the rounds. `intake_ratio`: the gateway's rate over the floor's, round by round."""
    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        requests = [request("/v1/jobs", json.dumps(ORDER).encode(), scratch.key)]
        gateway, floor = scratch.ports["gateway"], free_port()
        scratch.start_gateway()
        scratch.start(
            "floor",
            "tests.benchmarks.floor",
            probe=f"http://127.0.0.1:{floor}/healthz",
            more={"GATEWAY_PORT": str(floor)},
        )
        for port in (gateway, floor):
            bench.load(port, 4, 0.5, requests)  # warm up
        ours, floors = [], []
        for _ in range(rounds):
            floors.append(bench.load(floor, CONNECTIONS, seconds, requests))
            ours.append(bench.load(gateway, CONNECTIONS, seconds, requests))
        bad = sum(run["bad"] for run in ours + floors)
        if bad:
            raise SystemExit(f"{bad:.0f} requests were not answered with 202")
        ratios = [run["per_second"] / under["per_second"] for run, under in zip(ours, floors, strict=True)]
        return {
            "intake_ratio": statistics.median(ratios),
            "intake_per_second": statistics.median(run["per_second"] for run in ours),
            "intake_p50_ms": statistics.median(run["p50_ms"] for run in ours),
            "intake_p99_ms": statistics.median(run["p99_ms"] for run in ours),
            "floor_per_second": statistics.median(run["per_second"] for run in floors),
            "floor_p99_ms": statistics.median(run["p99_ms"] for run in floors),
            "gateway_rss_mb": bench.resident_mb(scratch.processes["gateway"].pid),
        }
