"""A run with a replicated store, whose primary is killed or changed under load while its replicas are late.

Two gateways and two workers, which share the store, a bucket and nothing else.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from gateway.local.process import ManagedProcess
from tests.buckets import s3_server
from tests.nursery import Nursery
from tests.processes import Machine
from tests.promises.faults.asking import ask
from tests.promises.faults.evidence import Evidence, Violation
from tests.promises.faults.nemesis import Nemesis
from tests.promises.faults.orders import CALM
from tests.promises.faults.plan import Fault
from tests.promises.faults.proxy import Proxies
from tests.promises.faults.replicated_store import STORES, Cluster, ReplicatedStore, SentinelSet
from tests.promises.faults.run import Load, drive
from tests.promises.faults.subscriber import Subscriber
from tests.promises.faults.world import GATEWAYS, World
from tests.replicated import servers

EVENTS: Final = ("kill_primary", "switch_primary", "seize_primary", "move_slot")
_LOSSY: Final = ("kill_primary", "seize_primary")
ALARM: Final = "StoreFailedOver"
JOBS_PER_SECOND: Final = 6.0
_LAG_SECONDS: Final = 0.2
_HOLD_SECONDS: Final = 3.0
#: How long a store may take to change its primary, and to be whole again.
_CHANGE_SECONDS: Final = 60.0
_TOLD_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Trial:
    """`store`: sentinel or cluster. `events`: of EVENTS, in their order; () for all that it can.
    `durability`: the setting."""

    store: str
    events: tuple[str, ...] = ()
    durability: str = "replicated"
    acknowledged_by: int = 1
    lag: float = _LAG_SECONDS


@dataclass
class Failovers(Nemesis):
    """Each event waits until the store is whole again."""

    store: ReplicatedStore = field(kw_only=True)
    failovers: int = 0

    def _kill_primary(self, fault: Fault) -> None:
        killed = self.store.primary()
        assert killed is not None
        self.kills += 1
        self._change(fault, lambda: self.store.kill(killed), then=lambda: self.store.restart(killed))

    def _switch_primary(self, fault: Fault) -> None:
        self._change(fault, self.store.switch)

    def _seize_primary(self, fault: Fault) -> None:
        assert isinstance(self.store, SentinelSet)
        self._change(fault, self.store.seize)

    def _move_slot(self, fault: Fault) -> None:
        assert isinstance(self.store, Cluster)
        self._change(fault, self.store.move)

    def _change(
        self, fault: Fault, event: Callable[[], object], then: Callable[[], object] = lambda: None
    ) -> None:
        before = self.store.primary()
        event()
        self._tick_until(lambda: self.store.primary() not in (None, before), _CHANGE_SECONDS)
        self.ledger.write("primary_changed", event=fault.kind, before=before, after=self.store.primary())
        then()
        if fault.kind != "move_slot":  # that takes everything with it
            self.failovers += 1
            self._tick_until(self._is_told, _TOLD_SECONDS)
        self._tick_until(self.store.is_whole, _CHANGE_SECONDS)
        self.ledger.write("store_whole", whole=self.store.is_whole())
        until = time.monotonic() + fault.seconds
        self._tick_until(lambda: time.monotonic() > until)

    def _is_told(self) -> bool:
        """Whether an ops event says so, and what the alarm says then."""
        time.sleep(0.1)
        events = self._asked("events?limit=1000")
        noticed = sum(event["kind"] == "store_failed_over" for event in (events or {"data": []})["data"])
        if noticed < self.failovers or (overview := self._asked("overview")) is None:
            return False
        alarms = [alarm["text"] for alarm in overview["alarms"] if alarm["code"] == ALARM]
        self.ledger.write("told", alarms=alarms)
        return True

    def _asked(self, what: str) -> Any:
        """None: no answer now."""
        answer = ask("GET", f"{self.world.gateways[0]}/ops/api/{what}", key=self.world.ops_key, seconds=2)
        return answer.document if answer.status == 200 else None


def run(folder: Path, trial: Trial, seed: int, say: Callable[[str], None]) -> int:
    """How many jobs there were. The ledgers and `final.json` are in `folder` afterwards."""
    with _world(folder, trial, seed) as (made, store):
        events = trial.events or tuple(event for event in EVENTS if _can(store, event, trial))
        chance = random.Random(f"failovers {seed}")
        faults = [Fault(chance.uniform(3, 5), event, "primary", chance.uniform(1.5, 3)) for event in events]
        say(f"{trial.store}, {trial.durability}, replicas {trial.lag:g} s late: {', '.join(events)}")
        load = Load(JOBS_PER_SECOND, CALM)
        wanted = [*(f"fault {event}" for event in events), "a job completed", "a job with a file completed"]
        more = {"scale": 0.0, "wanted": wanted, "durability": trial.durability}
        nemesis, client = drive(
            made, folder, seed, faults, load, partial(Failovers, store=store), say, **more
        )
        assert isinstance(nemesis, Failovers)
        return len(client.jobs)


def _can(store: ReplicatedStore, event: str, trial: Trial) -> bool:
    """Whether the server knows how to, and writes survive it if they must."""
    match event:
        case "switch_primary":
            return store.can_switch()
        case "seize_primary":
            survives = trial.acknowledged_by >= store.replicas
            return isinstance(store, SentinelSet) and (survives or trial.durability == "assume")
        case "move_slot":
            return isinstance(store, Cluster) and store.can_move()
        case _:
            return True


@contextlib.contextmanager
def _world(folder: Path, trial: Trial, seed: int) -> Iterator[tuple[World, ReplicatedStore]]:
    data = folder / "servers"
    data.mkdir()
    subscriber, proxies = Subscriber(folder / "subscriber.jsonl", seed), Proxies()
    acks = trial.acknowledged_by if trial.durability == "replicated" else 0
    with contextlib.ExitStack() as stack:
        stack.callback(subscriber.close)
        stack.callback(proxies.close)
        nursery = stack.enter_context(Nursery())
        bucket = stack.enter_context(s3_server(folder / "s3.log"))
        store = STORES[trial.store](stack.enter_context(servers(data)), proxies, trial.lag, acks)
        one = ManagedProcess("valkey", (), folder / "none.log")  # never started: the store is several servers
        machine = Machine(folder, one, store.url)
        stack.callback(machine.close)
        machine.nursery = nursery
        machine.environment |= {
            **bucket.environment,
            "GATEWAY_MEDIA_URL": f"s3://{bucket.new_bucket()}/media",
            "GATEWAY_BLOB_DIR": "blobs",  # as if it were not set
            "GATEWAY_DURABILITY": trial.durability,
            "GATEWAY_FAILOVER_HOLD_SECONDS": f"{_HOLD_SECONDS:g}",
        }
        if acks:
            machine.environment["GATEWAY_REPLICAS_ACK"] = str(acks)

        def own(name: str) -> dict[str, str]:
            return (
                {"GATEWAY_CALLBACK_JOURNAL_DIR": str(folder / f"{name}.journal")} if name in GATEWAYS else {}
            )

        made = World(machine, subscriber, proxies, own=own, one_store=False)
        made.begin()
        yield made, store


def judged(found: list[Violation], trial: Trial, evidence: Evidence) -> list[Violation]:
    """Those that are one in this trial. Where writes may be lost, some must be: else no trial proves
    anything."""
    if trial.durability != "assume":
        return found
    left = [one for one in found if one.invariant in ("I12", "I15", "I19", "vacuous")]
    was_lossy = any(fact.get("fault") in _LOSSY for fact in evidence.nemesis)
    if was_lossy and not any(one.invariant in ("I1", "I17") for one in found):
        left.append(Violation("vacuous", "no write was lost, though replicas were late"))
    return left


def away_seconds(found: Evidence) -> float:
    """The longest time from a request that failed until one was accepted."""
    longest, since = 0.0, None
    for post in (fact for fact in found.client if fact["kind"] == "post"):
        if post["job"]:
            longest = max(longest, post["at"] - (since or post["at"]))
            since = None
        elif since is None and post["status"] != 422:
            since = post["at"]
    return longest
