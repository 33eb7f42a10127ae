"""How long `vidu-gateway up` takes until everything answers, from an empty folder."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.figures import Figure, Found
from tests.processes import free_port


def measure(rounds: int = 3) -> Found:
    return Found({"up_ready_seconds": Figure([_once() for _ in range(rounds)])})


def _once() -> float:
    with tempfile.TemporaryDirectory() as name:
        gateway, sandbox = free_port(), free_port()
        options = [
            "--data-dir",
            str(Path(name, "data")),
            "--port",
            str(gateway),
            "--sandbox-port",
            str(sandbox),
        ]
        began = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "up", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert child.stdout is not None
        try:
            for line in child.stdout:  # what it prints comes when everything is ready
                if b"curl" in line:
                    return time.perf_counter() - began
            raise SystemExit("`up` ended before it was ready")
        finally:
            child.send_signal(signal.SIGTERM)
            child.stdout.read()
            child.wait(30)
