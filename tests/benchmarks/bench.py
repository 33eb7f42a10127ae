"""What the benchmarks share: a scratch machine with real processes, and ways to weigh them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.commands import keys
from gateway.embedded import valkey
from gateway.keyring import Keyring
from gateway.tenants import CLIENT_SCOPES

UPSTREAM_KEY = "sandbox-key"
BODY = {
    "model": "viduq2_pro_reference",
    "images": ["https://cdn.example.com/a.png", "https://cdn.example.com/b.png"],
    "prompt": "the hero walks along the shore at dusk " * 8,
    "duration": 5,
    "resolution": "720p",
}


class Machine:
    """A folder, a Valkey and the environment of processes that use it."""

    def __init__(self, folder: Path, url: str, valkey_pid: int) -> None:
        self.folder, self.url, self.valkey_pid = folder, url, valkey_pid
        self.keyring = Keyring.parse(Keyring.generate())
        self.ports = {name: free_port() for name in ("gateway", "sandbox", "floor")}
        self.environment = os.environ | {
            "GATEWAY_REDIS_URL": url,
            "GATEWAY_PORT": str(self.ports["gateway"]),
            "GATEWAY_PUBLIC_URL": f"http://127.0.0.1:{self.ports['gateway']}",
            "GATEWAY_SECRET_KEYS": "",
            "GATEWAY_UPSTREAM_URL": f"http://127.0.0.1:{self.ports['sandbox']}",
            "GATEWAY_UPSTREAM_KEY": UPSTREAM_KEY,
            "GATEWAY_BLOB_DIR": str(folder / "blobs"),
            "GATEWAY_DELIVERY_NETWORKS": "127.0.0.0/8",
            "GATEWAY_LOG_LEVEL": "warning",
            "GATEWAY_TENANT_QUEUE_MAX": "10000000",
        }

    def key(self, secret_keys: str) -> str:
        self.environment["GATEWAY_SECRET_KEYS"] = secret_keys
        return keys.create(self.url, Keyring.parse(secret_keys), "bench", CLIENT_SCOPES, "bench").key

    @contextlib.contextmanager
    def process(
        self, *module: str, probe: str | None = None, more: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """`python -m module...`, waited for until `probe` answers, ended with the block."""
        environment = {**self.environment, **(more or {})}
        with (self.folder / f"{module[0]}.log").open("ab") as log:
            child = subprocess.Popen([sys.executable, "-m", *module], env=environment, stdout=log, stderr=log)
        try:
            if probe:
                wait_for(probe, child)
            yield child
        finally:
            child.terminate()
            child.wait(30)


@contextlib.contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """Durable as in production: appendfsync always."""
    data = folder / "valkey"
    data.mkdir()
    with valkey(data) as server:
        yield Machine(folder, server.url, server.pid)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(url: str, child: subprocess.Popen[bytes], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise SystemExit(f"{child.args!r} ended with {child.returncode}")
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=1).close()
            return
        time.sleep(0.01)
    raise SystemExit(f"{url} does not answer")


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


def post(url: str, body: Mapping[str, Any], key: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def get(url: str, key: str) -> dict[str, Any]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def moment(text: str) -> float:
    """RFC 3339 as seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def quantile(values: Sequence[float], p: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p))]
