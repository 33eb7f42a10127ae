"""Uploads: how fast eight clips of 100 MB come in at once, against the floor, and what memory that takes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.benchmarks import bench
from tests.benchmarks.figures import Figure, Found, over_floor
from tests.benchmarks.upload_load import BYTES
from tests.processes import Machine, call, free_port, machine

AT_ONCE = 8
ROUNDS = 3


def measure() -> Found:
    """`upload_mb_per_second`: as a ratio to the floor. `upload_rss_mb`: the most that the gateway had
    resident while they came in."""
    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        scratch.start_gateway()
        pid = scratch.processes["gateway"].pid
        port = free_port()
        floor = {"GATEWAY_PORT": str(port), "FLOOR_FOLDER": name}
        scratch.start(
            "floor", "tests.benchmarks.upload_floor", probe=f"http://127.0.0.1:{port}/healthz", more=floor
        )
        ours, floors, resident = [], [], []
        for number in range(ROUNDS + 1):
            bare, _ = _run(port, "", number, None)
            rate, most = _run(scratch.ports["gateway"], scratch.key, number, pid)
            _delete_all(scratch)
            if number:  # the first round warms up
                floors.append(bare)
                ours.append(rate)
                resident.append(most)
    return Found(
        {"upload_mb_per_second": over_floor(ours, floors), "upload_rss_mb": Figure(resident)},
        {"upload_mb_per_second_absolute": ours},
    )


def _run(port: int, key: str, number: int, pid: int | None) -> tuple[float, float]:
    """MB per second, and the most MB that the process had resident."""
    words = [str(word) for word in (port, key, AT_ONCE, number * AT_ONCE)]
    command = [sys.executable, "-m", "tests.benchmarks.upload_load", *words]
    most = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        while client.poll() is None:
            if pid is not None:
                most = max(most, bench.resident_mb(pid))
            time.sleep(0.01)
        assert client.stdout is not None
        found = json.loads(client.stdout.read())
    if set(found["statuses"]) != {201}:
        raise SystemExit(f"an upload was answered with {found['statuses']}")
    return AT_ONCE * BYTES / 1e6 / found["seconds"], most


def _delete_all(scratch: Machine) -> None:
    _, listed, _ = call("GET", f"{scratch.gateway}/v1/uploads?limit=100", scratch.key)
    for one in listed["data"]:
        path, headers = (
            f"{scratch.gateway}/v1/uploads/{one['id']}",
            {"Authorization": f"Bearer {scratch.key}"},
        )
        urllib.request.urlopen(urllib.request.Request(path, headers=headers, method="DELETE")).close()
