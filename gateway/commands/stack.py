"""Runs the whole service on one machine: its processes and their configuration.

All data is in one data directory: the store's files, inline media, the sandbox's videos, logs, and secrets
that only their owner may read (the keyring, the demo tenant's key and the sandbox's key).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

from gateway.commands import api
from gateway.environment import Environment
from gateway.errors import ConfigurationError, Unavailable
from gateway.keyring import Keyring
from gateway.local import valkey
from gateway.local.process import ManagedProcess
from gateway.local.supervisor import Supervisor
from gateway.tenants import Scope
from gateway.variables import FILE

LOOPBACK = "127.0.0.1"
MODEL = "viduq2_pro_reference"
LOOPBACK_NETWORKS = "127.0.0.0/8,::1/128"
#: Files in the data directory that `keys` also reads.
SECRET_KEYS = "secret-keys"  # noqa: S105 - the name of a file
REDIS_URL = "redis-url"
SANDBOX_KEY = "sandbox-key"
_SANDBOX_STOP_SECONDS = 10.0
_MOST_PROCESSES = 8
_WORKERS_SECONDS = 60.0
_PAUSE_SECONDS = 0.05
_UPSTREAM_STOP_SECONDS = 80.0  # a submission to the real upstream may take a minute


@dataclass(frozen=True, slots=True)
class Plan:
    """Without `upstream_url` the sandbox is the upstream; it serves a result for `result_seconds`.
    `processes`: of the gateway, and of the workers if `workers` is None. `settings` override our defaults."""

    data_dir: Path
    port: int
    sandbox_port: int
    host: str = LOOPBACK
    public_url: str | None = None
    upstream_url: str | None = None
    upstream_key: str | None = field(default=None, repr=False)
    processes: int = 1
    workers: int | None = None
    render: str = "full"
    callback_style: str = "vtrix"
    log_level: str = "info"
    result_seconds: float | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """URL of the gateway on this machine."""
        host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self.host, self.host)  # noqa: S104 - it is compared
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def sandbox_url(self) -> str | None:
        return None if self.upstream_url else f"http://{LOOPBACK}:{self.sandbox_port}"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"


@dataclass(frozen=True, slots=True)
class DemoKey:
    """The demo tenant's API key. `signing_secret`: verifies webhooks to a job's callback_url."""

    key: str = field(repr=False)
    signing_secret: str = field(repr=False)


def processes_here() -> int:
    """How many processes of each kind use this machine best: half of its cores, because the store, the other
    kind and whoever posts jobs need the rest."""
    return max(1, min(_MOST_PROCESSES, (os.cpu_count() or 1) // 2))


@contextlib.contextmanager
def running(plan: Plan, supervisor: Supervisor) -> Iterator[DemoKey | None]:
    """Run all processes until the block ends. Yields when they are ready; None if interrupted before.

    Raises ConfigurationError (a port or the data directory is in use, no server program) or Unavailable.
    """
    _check_ports(plan)
    _make_data_dir(plan.data_dir)
    with contextlib.ExitStack() as held:
        server, redis_url = held.enter_context(
            valkey.prepared(plan.data_dir / "valkey", plan.logs / "valkey.log")
        )
        write_private(plan.data_dir / REDIS_URL, redis_url)
        held.enter_context(supervisor.running())
        environment = _environment(plan, redis_url)
        supervisor.begin(server)
        if not supervisor.wait_until_ready():
            yield None
            return
        began = Environment().now_ms()
        supervisor.begin(*_processes(plan, environment))
        key = _demo_key(plan, environment)  # slow, so it runs while the processes start
        if not supervisor.wait_until_ready():
            yield None
            return
        key = _accepted_key(plan, environment, key)
        yield key if _wait_for_workers(plan, supervisor, key, began) else None


def _processes(plan: Plan, environment: Mapping[str, str]) -> list[ManagedProcess]:
    """The processes in starting order; they stop in reverse order."""
    processes = [_sandbox(plan, plan.sandbox_url, environment)] if plan.sandbox_url else []
    # Workers that are asked to stop finish the submissions that they are paying for. Orphaned workers cannot:
    # the store is gone too, and they would only wait for it, so they get SIGKILL.
    stop_seconds = _UPSTREAM_STOP_SECONDS if plan.upstream_url else _SANDBOX_STOP_SECONDS
    workers = ManagedProcess(
        "workers",
        (sys.executable, "-m", "workers", "--processes", str(plan.workers or plan.processes)),
        plan.logs / "workers.log",
        environment,
        stop_seconds=stop_seconds,
        orphan_signal=signal.SIGKILL,
    )
    gateway = ManagedProcess(
        "gateway",
        (sys.executable, "-m", "gateway", "--processes", str(plan.processes)),
        plan.logs / "gateway.log",
        environment,
        ready=functools.partial(_is_ready, f"{plan.url}/readyz"),
        orphan_signal=signal.SIGKILL,
    )
    return [*processes, workers, gateway]


def _sandbox(plan: Plan, url: str, environment: Mapping[str, str]) -> ManagedProcess:
    options = {
        "host": LOOPBACK,
        "port": str(plan.sandbox_port),
        "data-dir": str((plan.data_dir / "sandbox").resolve()),
        "render": plan.render,
        "callback-style": plan.callback_style,
        "processes": "1",
    }
    if plan.result_seconds is not None:
        options["result-seconds"] = f"{plan.result_seconds:g}"
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    command = (sys.executable, "-m", "gateway.sandbox", *arguments)
    ready = functools.partial(_is_ready, f"{url}/healthz")
    keyed = {**environment, "SANDBOX_KEY": _upstream_key(plan)}
    return ManagedProcess("sandbox", command, plan.logs / "sandbox.log", keyed, ready)


def _wait_for_workers(plan: Plan, supervisor: Supervisor, key: DemoKey, began: int) -> bool:
    """Until all workers that started since `began` (ms) take up work; False if interrupted. Raises
    Unavailable if they do not in time."""
    monotonic = Environment().monotonic
    deadline, wanted = monotonic() + _WORKERS_SECONDS, plan.workers or plan.processes
    while not supervisor.interrupts:
        found = api.ask("GET", f"{plan.url}/ops/api/workers", key.key)["data"]
        starts = [datetime.fromisoformat(one["started_at"]).timestamp() * 1000 for one in found]
        if sum(start >= began for start in starts) >= wanted:
            return True
        if monotonic() > deadline:
            raise Unavailable(f"the workers were not ready in {_WORKERS_SECONDS:g} s: see {plan.logs}")
        supervisor.tick()
        time.sleep(_PAUSE_SECONDS)
    return False


def _is_ready(url: str) -> bool:
    return api.status(url) == 200


def _environment(plan: Plan, redis_url: str) -> dict[str, str]:
    settings = {
        "REDIS_URL": redis_url,
        "HOST": plan.host,
        "PORT": str(plan.port),
        # The real upstream cannot call back to a loopback address: without a public URL, results are polled.
        "PUBLIC_URL": plan.public_url or (plan.url if plan.sandbox_url else ""),
        "CLIENT_URL": os.environ.get("GATEWAY_CLIENT_URL") or plan.public_url or plan.url,
        "SECRET_KEYS": _kept(plan.data_dir / SECRET_KEYS, Keyring.generate),
        "UPSTREAM_URL": plan.upstream_url or plan.sandbox_url or "",
        "UPSTREAM_KEY": _upstream_key(plan),
        "MEDIA_URL": (plan.data_dir / "blobs").resolve().as_uri(),
        "BLOB_DIR": "blobs",  # as if it were not set
        "MIRROR": os.environ.get("GATEWAY_MIRROR", "1"),
        "LOG_LEVEL": plan.log_level,
        "LOG_FORMAT": "console",
        "DRAIN_SECONDS": "0",  # there is no load balancer here
    }
    if plan.sandbox_url:
        settings["ALLOW_PRIVATE_MEDIA_URLS"] = "1"
        settings["PRICES_FILE"] = os.environ.get("GATEWAY_PRICES_FILE") or str(_sandbox_prices())
    if plan.sandbox_url and _is_loopback(plan.host) and "GATEWAY_DELIVERY_NETWORKS" not in os.environ:
        # Only local users can post jobs, so webhooks to this machine are safe.
        settings["DELIVERY_NETWORKS"] = LOOPBACK_NETWORKS
    defaults = {f"GATEWAY_{name}": value for name, value in settings.items()}
    chosen = {**defaults, **plan.settings}
    inherited = {name: value for name, value in os.environ.items() if name.removesuffix(FILE) not in chosen}
    return inherited | chosen


def _sandbox_prices() -> Path:
    """What the sandbox charges, so that a newcomer sees estimates."""
    return Path(__file__).parents[1] / "sandbox" / "prices.toml"


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _make_data_dir(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ConfigurationError(f"cannot write to {path} ({error.strerror}): see --data-dir") from None


def _check_ports(plan: Plan) -> None:
    wanted = [(plan.host, plan.port, "--port")]
    if plan.sandbox_url:
        wanted.append((LOOPBACK, plan.sandbox_port, "--sandbox-port"))
    if len({port for _, port, _ in wanted}) < len(wanted):
        raise ConfigurationError("--port and --sandbox-port must differ")
    for host, port, option in wanted:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will
            try:
                probe.bind((host, port))
            except OSError as error:
                raise ConfigurationError(
                    f"cannot listen on {host} port {port} ({error.strerror}): choose another with {option}"
                ) from None


def _upstream_key(plan: Plan) -> str:
    """The sandbox's key is generated too: other users of the machine reach the sandbox."""
    return plan.upstream_key or _kept(plan.data_dir / SANDBOX_KEY, lambda: Environment().entropy(16).hex())


def _kept(path: Path, generate: Callable[[], str]) -> str:
    """The secret in the file, generated once: webhook secrets are derived from the keyring, and a sandbox
    that goes on knows its key."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    made = generate()
    write_private(path, made)
    return made


def _demo_key(plan: Plan, environment: Mapping[str, str], *, renew: bool = False) -> DemoKey:
    """The stored key of an earlier run, or a new one with all scopes, which is stored."""
    path = plan.data_dir / "demo-key.json"
    if path.exists() and not renew:
        record = json.loads(path.read_text())
        return DemoKey(record["key"], record["signing_secret"])
    from gateway.commands import keys  # imported late because it loads redis and asyncio

    keyring = Keyring.parse(environment["GATEWAY_SECRET_KEYS"])
    made = keys.create(environment["GATEWAY_REDIS_URL"], keyring, "demo", tuple(Scope), "up")
    write_private(path, json.dumps({"key": made.key, "signing_secret": made.signing_secret}))
    return DemoKey(made.key, made.signing_secret)


def _accepted_key(plan: Plan, environment: Mapping[str, str], key: DemoKey) -> DemoKey:
    """The stored key, or a new one if the store does not know it: its files may have been deleted."""
    if api.status(f"{plan.url}/v1/jobs?limit=1", key.key) != 401:
        return key
    return _demo_key(plan, environment, renew=True)


def write_private(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
