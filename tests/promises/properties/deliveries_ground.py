"""Deliveries and recoveries as the documents have them, and what must be true after every step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from gateway.dispatch import Role, Ticket
from gateway.endpoints import Delivery, Endpoint
from gateway.lifecycle import DeliveryState
from gateway.store.delivery_base import Hindrance
from gateway.store.recoveries import RedisRecoveries
from tests.promises.crashes.store import Server
from tests.promises.properties import dump, invariants
from tests.promises.properties.stage import RETENTION, Stage, now

ENDPOINTS: Final = ("ep_A", "ep_B", "ep_C")
BATCH: Final = 2
MOST_WAITING: Final = 2


@dataclass(slots=True)
class ModelDelivery:
    """`since`: its attempts when its round began; `trigger`: what began that."""

    endpoint: str
    made_at: int
    state: str
    attempts: int = 0
    since: int = 0
    trigger: str = "auto"


@dataclass(slots=True)
class ModelRecovery:
    """`owed`: what was dead or held when it began; `by_hand`: what of it somebody sent again himself;
    `done`: what it made pending."""

    id: str
    since: int
    until: int
    states: tuple[str, ...]
    owed: set[str]
    by_hand: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)


class DeliveriesGround(RuleBasedStateMachine):
    """The store's side: a stage on an empty server. The documents' side: `deliveries` and `running`."""

    def __init__(self, server: Server, folder: Path, seen: Counter[str]) -> None:
        super().__init__()
        self.server, self.seen = server, seen
        self.stage = Stage(server, folder, seen)
        stage = self.stage
        limits = {"batch": BATCH, "most_waiting": MOST_WAITING}
        redis = vars(stage.deliveries)["_redis"]
        self.recoveries = RedisRecoveries(redis, stage.scripts, stage.roles, RETENTION, **limits)
        self.deliveries: dict[str, ModelDelivery] = {}
        self.running: dict[str, ModelRecovery] = {}
        self.disabled: set[str] = set()
        self.bodies: dict[str, bytes] = {}
        self.begun: list[tuple[Ticket, Delivery]] = []
        self.wishes = 0
        self.look = dump.read(server)

    @initialize()
    def subscribe(self) -> None:
        for name in ENDPOINTS:
            now(self.stage.endpoints.create(self.endpoint(name), 50))

    def endpoint(self, name: str) -> Endpoint:
        return Endpoint(name, "acme", "https://s.example.com", (), "k1", 1)

    def lacking(self) -> list[str]:
        """Endpoints that did not get something."""
        return sorted({d.endpoint for d in self.deliveries.values() if d.state in ("dead", "held")})

    def hindrance(self, name: str) -> Hindrance | None:
        known = self.deliveries[name]
        if known.endpoint in self.disabled:
            return Hindrance.DISABLED
        in_hand = f"{known.endpoint}|{name}" in self.look.role(Role.DELIVER).slots
        return Hindrance.UNDER_WAY if in_hand else None

    def in_hand(self) -> list[Ticket]:
        """The tickets that workers may have by now, each with its newest number."""
        holders: dict[str, str] = self.server.client.hgetall("{gw}:deliver:holders")
        return [Ticket.parse(Role.DELIVER, text, int(number)) for text, number in sorted(holders.items())]

    def newest(self, ticket: Ticket) -> bool:
        return ticket in self.in_hand()

    @invariant()
    def holds(self) -> None:
        self.look = dump.read(self.server)
        lanes = self.look.role(Role.DELIVER)
        invariants.check_lanes(lanes, Role.DELIVER, self.stage.roles[Role.DELIVER])
        found = self.look.records("delivery")
        assert set(found) == set(self.deliveries)
        for name, known in self.deliveries.items():
            record = found[name]
            assert record["state"] == known.state
            assert int(record.get("attempts", 0)) == known.attempts
            assert int(record.get("since", 0)) == known.since
            assert record.get("trigger", "auto") == known.trigger
        places = sorted([*lanes.slots, *lanes.in_lanes, *lanes.due])
        states = {name: known.state for name, known in self.deliveries.items()}
        pending = sorted(
            f"{found[name]['lane']}|{name}" for name, state in states.items() if state == "pending"
        )
        assert places == pending, "a delivery that is owed is in no place, or in two"
        counts = Counter(f"delivery:{state}" for state in states.values())
        kept = {
            k: int(n) for k, n in self.look.hash("counts").items() if k.startswith("delivery:") and n != "0"
        }
        assert kept == counts
        self._check_indexes()
        running = {name: recovery.id for name, recovery in self.running.items()}
        assert self.look.hash("recoveries") == running, "one recovery of an endpoint at a time"

    def _check_indexes(self) -> None:
        for state in DeliveryState:
            listed = {name: known.made_at for name, known in self.deliveries.items() if known.state == state}
            assert self.look.zset(f"tenant:acme:deliveries:{state}") == listed
            for lane in ENDPOINTS:
                there = {name: at for name, at in listed.items() if self.deliveries[name].endpoint == lane}
                assert self.look.zset(f"lane:{lane}:deliveries:{state}") == there
