"""The whole service on one machine for a fault run: two gateways, two workers, every link through a proxy."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import redis

from gateway.delivery.secrets import tenant_secret
from gateway.tenants import Scope
from tests.least_rights import as_gateway
from tests.nursery import Nursery
from tests.processes import Machine, free_port, machine
from tests.promises.faults.asking import ask
from tests.promises.faults.orders import TENANTS
from tests.promises.faults.power_loss import PowerLoss, compiler
from tests.promises.faults.proxy import Proxies
from tests.promises.faults.subscriber import Subscriber

GATEWAYS = ("gateway1", "gateway2")
WORKERS = ("workers1", "workers2")
LINKS = ("gateway_redis", "workers_redis", "upstream", "callbacks", "subscriber")
#: What the sandbox charges.
PRICES = Path(str(resources.files("gateway.sandbox") / "prices.toml"))
GRACE_SECONDS = 6.0
LEASE_SECONDS = 2.0

SETTINGS = {
    "GATEWAY_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
    "GATEWAY_POLL_FIRST_SECONDS": "0.5",
    "GATEWAY_POLL_MIN_SECONDS": "0.3",
    "GATEWAY_POLL_MAX_SECONDS": "0.5",
    "GATEWAY_BUSY_RETRY_SECONDS": "0.2",
    "GATEWAY_ACCOUNT_RETRY_SECONDS": "1",
    "GATEWAY_UPSTREAM_TIMEOUT_SECONDS": "3",
    "GATEWAY_UPSTREAM_QUERY_SECONDS": "2",
    "GATEWAY_UNKNOWN_GRACE_SECONDS": f"{GRACE_SECONDS:g}",
    "GATEWAY_CALLBACK_GAP_SECONDS": "5",
    "GATEWAY_CLAIM_WAIT_SECONDS": "4",
    "GATEWAY_LATE_WATCH_SECONDS": "15",
    "GATEWAY_RESUBMIT_DAY_BUDGET": "10000",
    "GATEWAY_DELIVERY_SCHEDULE_SECONDS": "0.2,0.2,0.5,0.5,1,1,1,2,2,2,3,3,4,4,5",
    "GATEWAY_DELIVERY_OVERLOAD_SECONDS": "0.2",
    "GATEWAY_DELIVERY_TIMEOUT_SECONDS": "2",
    "GATEWAY_DELIVERY_PARK_SECONDS": "0.1",
    "GATEWAY_UPSTREAM_SLOTS": "40",
    "GATEWAY_UPSTREAM_TENANT_SLOTS": "30",
}


class World:
    """`start(name)` and `start(name, crash_points)` begin a gateway or workers without waiting for them.

    `power` is None where power losses cannot be made. `own`: settings of each process alone. `ops_key` opens
    everything.
    """

    def __init__(
        self,
        scratch: Machine,
        subscriber: Subscriber,
        proxies: Proxies,
        power: PowerLoss | None = None,
        own: Callable[[str], dict[str, str]] = lambda name: {},
        *,
        one_store: bool = True,
    ):
        self.machine, self.subscriber, self.proxies, self.power = scratch, subscriber, proxies, power
        self._own = own
        self._one_store = one_store
        self._since: dict[str, int] = {}
        scratch.environment |= SETTINGS
        for name in GATEWAYS:
            scratch.ports[name] = free_port()
        local = "127.0.0.1"
        proxies.open("upstream", (local, scratch.ports["sandbox"]))
        proxies.open("callbacks", *((local, scratch.ports[name]) for name in GATEWAYS))
        proxies.open("subscriber", (local, subscriber.port))
        self.gateways = [f"http://{local}:{scratch.ports[name]}" for name in GATEWAYS]
        self.hooks = self._link("subscriber")
        self.keys = {tenant: scratch.make_key(tenant) for tenant in TENANTS}
        self.ops_key = scratch.make_key("operators", tuple(Scope))
        self._shared = {
            "GATEWAY_PUBLIC_URL": self._link("callbacks"),
            "GATEWAY_UPSTREAM_URL": self._link("upstream"),
            "GATEWAY_PRICES_FILE": str(PRICES),
        }

    def begin(self) -> None:
        """Everything up and registered."""
        self.machine.start_sandbox(task_seconds="0.4", fsync="", public_url=self.machine.sandbox)
        for name in (*GATEWAYS, *WORKERS):
            self.start(name)
        self.wait_until_up()
        self.register_endpoints()

    def start(self, name: str, crash_points: str = "") -> None:
        role = "gateway" if name in GATEWAYS else "workers"
        log = self.machine.folder / f"{name}.log"
        self._since[name] = log.stat().st_size if log.exists() else 0
        more = {**self._shared, **self._own(name)}
        if link := self.proxies.links.get(f"{role}_redis"):
            more["GATEWAY_REDIS_URL"] = as_gateway(f"redis://127.0.0.1:{link.port}/0")
        if role == "gateway":
            more["GATEWAY_PORT"] = str(self.machine.ports[name])
        if crash_points:
            more["GATEWAY_CRASH_POINTS"] = crash_points
        self.machine.start(name, role, more=more)

    def is_up(self, name: str) -> bool:
        """It takes up work (it may not have the store it needs)."""
        if self.machine.processes[name].poll() is not None:
            return False
        if name in GATEWAYS:
            return ask("GET", f"{self.gateways[GATEWAYS.index(name)]}/livez", seconds=0.5).status == 200
        with (self.machine.folder / f"{name}.log").open("rb") as log:
            log.seek(self._since[name])
            return b"workers_ready" in log.read()

    def wait_until_up(self, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        for name in (*GATEWAYS, *WORKERS):
            while not self.is_up(name):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{name} did not come up:\n{self.machine.log(name)[-3000:]}")
                time.sleep(0.05)

    def register_endpoints(self) -> None:
        """Two for each tenant, one of them moody; and the secrets of the paths that jobs name themselves."""
        for tenant, key in self.keys.items():
            keyring = self.machine.keyring
            for name in ("good", "moody", "gone"):
                secret = tenant_secret(keyring, keyring.active_kid, tenant)
                self.subscriber.secrets[f"/{tenant}/{name}"] = secret
            for name in ("good-endpoint", "moody-endpoint"):
                path = f"/{tenant}/{name}"
                body = f'{{"url": "{self.hooks}{path}"}}'.encode()
                made = ask("POST", f"{self.gateways[0]}/v1/endpoints", key=key, body=body)
                assert made.status == 201, made
                self.subscriber.secrets[path] = made.document["secret"]

    def money(self) -> dict[str, Any] | None:
        """Balances, ledger and what is in suspense, by its list and by the records. None if the store is
        several servers."""
        if not self._one_store:
            return None
        with redis.Redis.from_url(self.machine.url, decode_responses=True) as client:
            balances = {key: client.hgetall(key) for key in client.keys("{gw}:tenant:*:balance:*")}
            days = sorted(client.keys("{gw}:ledger:2*"))
            records = [key for key in client.keys("{gw}:job:*") if key.count(":") == 2]
            return {
                "balances": balances,
                "ledger": [fields for day in days for _, fields in client.xrange(day)],
                "suspense": client.zrange("{gw}:suspense", 0, -1),
                "suspended": [key.rpartition(":")[2] for key in records if client.hexists(key, "suspense")],
            }

    def _link(self, name: str) -> str:
        return f"http://127.0.0.1:{self.proxies.links[name].port}"


@contextlib.contextmanager
def world(folder: Path, seed: int) -> Iterator[World]:
    """Everything up and registered. The ledgers lie in `folder` and stay there."""
    cc = compiler()
    power = PowerLoss(folder / "power", cc) if cc else None
    subscriber, proxies = Subscriber(folder / "subscriber.jsonl", seed), Proxies()
    try:
        preloaded = power.environment if power else None
        with (
            Nursery() as nursery,
            machine(folder, nursery, preloaded=preloaded, restricted=True) as scratch,
        ):
            socket = unquote(urlsplit(scratch.url).path)
            for name in ("gateway_redis", "workers_redis"):
                proxies.open(name, socket)
            made = World(scratch, subscriber, proxies, power)
            made.begin()
            yield made
    finally:
        proxies.close()
        subscriber.close()
