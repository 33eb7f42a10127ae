"""Deliveries: rings and stale holders, against what the documents say of a delivery."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.dispatch import Role, Ticket
from gateway.endpoints import Delivery, Endpoint
from gateway.jobs import Job
from gateway.lifecycle import DeliveryEvent, JobState
from gateway.tickets import confirm_ticket, submit_ticket
from tests.promises.crashes.store import Server
from tests.promises.properties import dump, invariants
from tests.promises.properties.hands import held, pick
from tests.promises.properties.stage import Stage, now

NUMBER = st.integers(0, 11)
ENDS = {
    "succeeded": (DeliveryEvent.ATTEMPT_SUCCEEDED, "delivered"),
    "failed": (DeliveryEvent.ATTEMPT_FAILED, "pending"),
    "exhausted": (DeliveryEvent.ATTEMPTS_EXHAUSTED, "dead"),
    "disabled": (DeliveryEvent.ENDPOINT_DISABLED, "held"),
}


class DeliveriesMachine(RuleBasedStateMachine):
    def __init__(self, server: Server, folder: Path, seen: Counter[str]) -> None:
        super().__init__()
        self.server, self.seen = server, seen
        self.stage = Stage(server, folder, seen)
        self.states: dict[str, str] = {}
        self.attempts: dict[str, int] = {}
        self.bodies: dict[str, bytes] = {}
        self.begun: list[tuple[Ticket, Delivery]] = []
        self.look = dump.read(server)

    @initialize()
    def subscribe(self) -> None:
        for name in ("ep_A", "ep_B", "ep_C"):
            now(self.stage.endpoints.create(Endpoint(name, "acme", "https://s.example.com", (), "k1", 1)))

    @rule()
    def owe(self) -> None:
        """A job that is canceled at once: three deliveries of one event."""
        name = self.stage.environment.new_job_id()
        job = Job(name, "acme", JobState.QUEUED, "m", {}, self.stage.now_ms())
        now(self.stage.jobs.accept(job, None, "", queue_max=1000))
        now(self.stage.settlement.cancel(job, [submit_ticket(job), confirm_ticket(job)]))
        for endpoint in "ABC":
            delivery = f"dlv_{name.removeprefix('job_')}_canceled_{endpoint}"
            self.states[delivery], self.attempts[delivery] = "pending", 0

    @rule(seconds=st.sampled_from([0.25, 5.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.stage.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        """Leases that ran out are rung again: whoever held them is stale from now on."""
        self.stage.clock.advance(1.0)
        now(self.stage.sweeper.sweep())

    @precondition(lambda self: self.look.role(Role.DELIVER).holders)
    @rule(number=NUMBER)
    def begin(self, number: int) -> None:
        ticket = pick(held(self.look, Role.DELIVER), number)
        begun = now(self.stage.deliveries.begin(ticket))
        assert begun is not None
        delivery, body, _ = begun
        assert delivery.attempts == self.attempts[delivery.id]
        assert self.bodies.setdefault(delivery.event_id, body) == body, "an event's bytes changed"
        self.begun.append((ticket, delivery))

    @precondition(lambda self: self.begun)
    @rule(number=NUMBER)
    def begin_again(self, number: int) -> None:
        """The same dispatch, run twice; a stale one gets nothing."""
        ticket, _ = pick(self.begun, number)
        assert (now(self.stage.deliveries.begin(ticket)) is not None) == self._newest(ticket)

    @precondition(lambda self: self.begun)
    @rule(number=NUMBER, end=st.sampled_from(sorted(ENDS)), twice=st.booleans())
    def finish(self, number: int, end: str, twice: bool) -> None:
        ticket, delivery = pick(self.begun, number)
        self.begun.remove((ticket, delivery))
        event, target = ENDS[end]
        newest = self._newest(ticket)
        delivery.log.append({"number": delivery.attempts + 1})
        made = Delivery(
            **{f: getattr(delivery, f) for f in delivery.__slots__} | {"attempts": delivery.attempts + 1}
        )
        for time in range(2 if twice else 1):
            retry = 5000 if end == "failed" else None
            answer = now(self.stage.deliveries.finish(ticket, made, event, retry_in_ms=retry, tally=[]))
            if not newest or time:
                assert answer.outcome == "stale"
            else:
                assert answer.outcome == ("repeated" if end == "failed" else "moved")
                self.states[made.id], self.attempts[made.id] = target, made.attempts
            self.seen[f"{end} {answer.outcome}"] += 1

    def _newest(self, ticket: Ticket) -> bool:
        return self.look.role(Role.DELIVER).holders.get(str(ticket)) == str(ticket.ring)

    @invariant()
    def holds(self) -> None:
        self.look = dump.read(self.server)
        lanes = self.look.role(Role.DELIVER)
        invariants.check_lanes(lanes, Role.DELIVER, self.stage.roles[Role.DELIVER])
        found = self.look.records("delivery")
        assert {name: record["state"] for name, record in found.items()} == self.states
        assert {name: int(record.get("attempts", 0)) for name, record in found.items()} == self.attempts
        places = sorted([*lanes.slots, *lanes.in_lanes, *lanes.due])
        pending = sorted(
            f"{found[name]['lane']}|{name}" for name, state in self.states.items() if state == "pending"
        )
        assert places == pending, "a delivery that is owed is in no place, or in two"
        counts = Counter(f"delivery:{state}" for state in self.states.values())
        kept = {
            k: int(n) for k, n in self.look.hash("counts").items() if k.startswith("delivery:") and n != "0"
        }
        assert kept == counts
