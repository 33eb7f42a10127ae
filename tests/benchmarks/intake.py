"""Intake: POST /v1/jobs against the floor, in turns, so that a noisy machine is noisy for both."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.benchmarks import bench
from tests.benchmarks.figures import Found, over_floor
from tests.benchmarks.load import request
from tests.processes import ORDER, free_port, machine

CONNECTIONS = 32


def measure(rounds: int = 7, seconds: float = 2.0) -> Found:
    """`intake_ratio`: the gateway's rate over the floor's. `intake_p99_ratio`: its p99 over the floor's."""
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
        for port in (floor, gateway):
            bench.load(port, CONNECTIONS, 1.0, requests)  # warm up
        ours, floors = [], []
        for _ in range(rounds):
            floors.append(bench.load(floor, CONNECTIONS, seconds, requests))
            ours.append(bench.load(gateway, CONNECTIONS, seconds, requests))
        bad = sum(run["bad"] for run in ours + floors)
        if bad:
            raise SystemExit(f"{bad:.0f} requests were not answered with 202")
        memory = bench.resident_mb(scratch.processes["gateway"].pid)
    rates, floor_rates = ([run["per_second"] for run in runs] for runs in (ours, floors))
    waits, floor_waits = ([run["p99_ms"] for run in runs] for runs in (ours, floors))
    return Found(
        {
            "intake_ratio": over_floor(rates, floor_rates),
            "intake_p99_ratio": over_floor(waits, floor_waits),
        },
        {
            "intake_per_second": rates,
            "intake_floor_per_second": floor_rates,
            "intake_p50_ms": [run["p50_ms"] for run in ours],
            "intake_p99_ms": waits,
            "intake_floor_p99_ms": floor_waits,
            "gateway_rss_mb": [memory],
        },
    )
