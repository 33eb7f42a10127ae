"""A scratch machine with real processes: Valkey, gateway, workers, sandbox. For promises and benchmarks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis

from gateway.commands import keys
from gateway.keyring import Keyring
from gateway.local.process import ManagedProcess
from gateway.local.valkey import prepared
from gateway.tenants import CLIENT_SCOPES, Scope
from tests import least_rights
from tests.nursery import MODULES, Hatchling, Nursery

UPSTREAM_KEY = "sandbox-key"
ORDER = {
    "model": "viduq2_pro_reference",
    "images": ["https://cdn.example.com/a.png", "https://cdn.example.com/b.png"],
    "prompt": "the hero walks along the shore at dusk",
    "duration": 5,
    "resolution": "720p",
}
_READY_SECONDS = 120.0
Process = subprocess.Popen[bytes] | Hatchling


class Machine:
    """A folder, a durable Valkey, and processes by name: `start`, `kill`, `stop`, `start` again.

    `code`: a folder with the code of another version, which the processes run that are started next."""

    def __init__(self, folder: Path, valkey: ManagedProcess, url: str) -> None:
        self.folder, self.valkey, self.url = folder, valkey, url
        self.secret_keys = Keyring.generate()
        self.keyring = Keyring.parse(self.secret_keys)
        self.ports = {name: free_port() for name in ("gateway", "sandbox")}
        self.gateway = f"http://127.0.0.1:{self.ports['gateway']}"
        self.sandbox = f"http://127.0.0.1:{self.ports['sandbox']}"
        self.environment = {
            **os.environ,
            "GATEWAY_REDIS_URL": url,
            "GATEWAY_PORT": str(self.ports["gateway"]),
            "GATEWAY_PUBLIC_URL": self.gateway,
            "GATEWAY_SECRET_KEYS": self.secret_keys,
            "GATEWAY_UPSTREAM_URL": self.sandbox,
            "GATEWAY_UPSTREAM_KEY": UPSTREAM_KEY,
            "GATEWAY_BLOB_DIR": str(folder / "blobs"),
            "GATEWAY_DELIVERY_NETWORKS": "127.0.0.0/8",
            "GATEWAY_LOG_LEVEL": "info",
            "GATEWAY_DRAIN_SECONDS": "0",
            "GATEWAY_TENANT_QUEUE_MAX": "10000000",
            "GATEWAY_TENANT_BYTES_MAX": "10000000000",
        }
        self.code: Path | None = None
        self.nursery: Nursery | None = None
        self.processes: dict[str, Process] = {}
        self.key = ""

    def start_valkey(self) -> None:
        """Again after a kill, too: its data are where they were."""
        self.valkey.start()
        deadline = time.monotonic() + _READY_SECONDS
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)

    def make_key(self, tenant: str = "acme", scopes: Sequence[Scope] = CLIENT_SCOPES) -> str:
        return keys.create(self.url, self.keyring, tenant, scopes, tenant).key

    def start(
        self, name: str, *module: str, probe: str | None = None, more: Mapping[str, str] | None = None
    ) -> Process:
        """`python -m module...` under this name, from the nursery if any; waits until `probe` answers."""
        environment = {**self.environment, **(more or {})}
        path = self.folder / f"{name}.log"
        child: Process
        if self.nursery is not None and self.code is None and module[0] in MODULES:
            child = self.nursery.spawn(module, environment, path)
        else:
            with path.open("ab") as log:
                command = [sys.executable, "-m", *module]
                child = subprocess.Popen(command, env=environment, cwd=self.code, stdout=log, stderr=log)
        self.processes[name] = child
        if probe:
            wait_for(probe, child)
        return child

    def start_sandbox(self, **options: str) -> None:
        """An option without a value, such as `fsync`, is given as an empty string."""
        wanted = {
            "port": str(self.ports["sandbox"]),
            "data-dir": str(self.folder / "sandbox"),
            "key": UPSTREAM_KEY,
            "render": "none",
            "task-seconds": "0.05",
            "callback-style": "vtrix",
            **{name.replace("_", "-"): value for name, value in options.items()},
        }
        words = [word for name, value in wanted.items() for word in (f"--{name}", value) if word]
        self.start("sandbox", "gateway.sandbox", *words, probe=f"{self.sandbox}/healthz")

    def start_gateway(self, **more: str) -> None:
        self.start("gateway", "gateway", probe=f"{self.gateway}/livez", more=more)

    def start_workers(self, name: str = "workers", **more: str) -> None:
        """Returns when they take up work: before that, a SIGTERM meets an interpreter that still imports."""
        path = self.folder / f"{name}.log"
        seen = path.stat().st_size if path.exists() else 0
        child = self.start(name, "workers", more=more)
        deadline = time.monotonic() + _READY_SECONDS
        while b"workers_ready" not in path.read_bytes()[seen:]:
            if child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not come up:\n{self.log(name)}")
            time.sleep(0.01)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self, name: str) -> int:
        """SIGTERM, as a platform would; the exit code."""
        self.processes[name].terminate()
        return self.processes[name].wait(60)

    def kill_valkey(self) -> None:
        os.kill(self.valkey.pid, signal.SIGKILL)
        while self.valkey.exit_code() is None:
            time.sleep(0.005)

    def close(self) -> None:
        for child in self.processes.values():
            if child.poll() is None:
                child.kill()
            child.wait()

    def ledger(self, kind: str) -> list[dict[str, Any]]:
        """What the sandbox saw: the judge."""
        path = self.folder / "sandbox" / "ledger.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [fact for fact in map(json.loads, lines) if fact["kind"] == kind]

    def charges(self) -> dict[str, int]:
        """{job: how often it was paid for}, by the token that the paid request carried."""
        found: dict[str, int] = {}
        for fact in self.ledger("post"):
            if fact["charged"] is not None:
                job = fact["callback_token"].split(".")[2]
                found[job] = found.get(job, 0) + 1
        return found

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


@contextlib.contextmanager
def machine(
    folder: Path,
    nursery: Nursery | None = None,
    *,
    preloaded: Mapping[str, str] | None = None,
    restricted: bool = False,
) -> Iterator[Machine]:
    """Durable as in production: appendfsync always. Everything started ends with the block.

    Processes are forked from the `nursery`, if there is one. `preloaded` is added to the environment of
    Valkey alone. `restricted`: the service is the user of deploy/redis/users.acl, and nothing may be denied
    to it.
    """
    data = folder / "valkey"
    data.mkdir()
    users = data / "users.acl"
    users.write_text(least_rights.users())
    with prepared(data, data / "valkey.log", "--aclfile", str(users)) as (child, url):
        if preloaded:
            child.environment = {**os.environ, **preloaded}
        made = Machine(folder, child, url)
        made.nursery = nursery
        try:
            made.start_valkey()
            made.key = made.make_key()
            if restricted:
                made.environment["GATEWAY_REDIS_URL"] = least_rights.as_gateway(url)
            yield made
            made.close()
            if child.exit_code() is None:
                with redis.Redis.from_url(url) as client:
                    least_rights.assert_nothing_was_denied(client)
        finally:
            made.close()
            child.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(url: str, child: Process) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise RuntimeError(f"what is to answer at {url} ended with {child.returncode}")
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=1).close()
            return
        time.sleep(0.01)
    raise RuntimeError(f"{url} does not answer")


def call(
    method: str, url: str, key: str, body: Mapping[str, Any] | None = None, **headers: str
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, JSON body and headers of one request."""
    sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=70) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


def follow(script: str, folder: Path) -> tuple[int, str]:
    """Runs the commands of a page with bash in the folder, without settings of ours. The exit code and what
    was printed, errors included; the file `told` has it while they run. What they leave running is killed."""
    environment = {name: value for name, value in os.environ.items() if "GATEWAY" not in name}
    with (folder / "told").open("w") as output:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait(200)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    return code, (folder / "told").read_text()
