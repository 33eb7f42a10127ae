"""What the benchmarks share: the load client, and ways to weigh a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path


def load(
    port: int, connections: int, seconds: float, requests: Sequence[bytes], least: int = 1
) -> dict[str, float]:
    """One run of the load client, in its own process."""
    numbers = [str(number) for number in (port, connections, seconds, least)]
    command = [sys.executable, "-m", "tests.benchmarks.load", "127.0.0.1", *numbers]
    said = subprocess.run(
        command,
        input=json.dumps([text.decode() for text in requests]),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(said.stdout)
    return found


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def moment(text: str) -> float:
    """RFC 3339 as seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()
