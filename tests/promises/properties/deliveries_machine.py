"""Deliveries: dispatches and stale holders, rounds and recoveries, against what the documents say of them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from gateway.dispatch import Role, Ticket
from gateway.endpoints import Delivery
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import DeliveryEvent, DeliveryState, JobState
from gateway.recoveries import Recovery, RecoveryState
from gateway.store.base import AdmissionLimits
from gateway.store.delivery_base import Hindrance, Written
from gateway.store.recoveries import Step
from tests.promises.properties import dump
from tests.promises.properties.deliveries_ground import (
    ENDPOINTS,
    MOST_WAITING,
    DeliveriesGround,
    ModelDelivery,
    ModelRecovery,
)
from tests.promises.properties.hands import held, pick, without_noise
from tests.promises.properties.stage import now

NUMBER = st.integers(0, 11)
ENDS = {
    "succeeded": (DeliveryEvent.ATTEMPT_SUCCEEDED, "delivered"),
    "failed": (DeliveryEvent.ATTEMPT_FAILED, "pending"),
    "exhausted": (DeliveryEvent.ATTEMPTS_EXHAUSTED, "dead"),
    "disabled": (DeliveryEvent.ENDPOINT_DISABLED, "held"),
}


class DeliveriesMachine(DeliveriesGround):
    @rule()
    def owe(self) -> None:
        """A job that is canceled at once: three deliveries of one event."""
        name = self.stage.environment.new_job_id()
        job = Job(name, "acme", JobState.QUEUED, "m", {}, self.stage.now_ms())
        now(self.stage.jobs.accept(job, None, "", AdmissionLimits(queue_max=1000)))
        now(self.stage.settlement.cancel(job, [submit_ticket(job), confirm_ticket(job)]))
        for endpoint in ENDPOINTS:
            delivery = f"dlv_{name.removeprefix('job_')}_canceled_{endpoint.removeprefix('ep_')}"
            state = "held" if endpoint in self.disabled else "pending"
            self.deliveries[delivery] = ModelDelivery(endpoint, self.stage.now_ms(), state)

    @rule(seconds=st.sampled_from([0.25, 5.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.stage.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        """Leases that ran out are dispatched again: whoever held them is stale from now on."""
        self.stage.clock.advance(1.0)
        now(self.stage.sweeper.sweep())

    @rule(name=st.sampled_from(ENDPOINTS))
    def switch(self, name: str) -> None:
        """The endpoint is disabled, or enabled again."""
        if name in self.disabled:
            before = now(self.stage.endpoints.read("acme", name))
            assert before is not None
            assert now(self.stage.endpoints.change(self.endpoint(name), before)) is Written.WRITTEN
        else:
            now(self.stage.endpoints.disable(self.endpoint(name), "answered 410 Gone", self.stage.now_ms()))
        self.disabled ^= {name}

    @precondition(lambda self: self.look.role(Role.DELIVER).holders)
    @rule(number=NUMBER)
    def begin(self, number: int) -> None:
        self.begun.append(self._begin(pick(held(self.look, Role.DELIVER), number)))

    def _begin(self, ticket: Ticket) -> tuple[Ticket, Delivery]:
        begun = now(self.stage.deliveries.begin(ticket))
        assert begun is not None
        delivery, body, _ = begun
        known = self.deliveries[delivery.id]
        assert (delivery.attempts, delivery.since, delivery.trigger) == (
            known.attempts,
            known.since,
            known.trigger,
        )
        assert self.bodies.setdefault(delivery.event_id, body) == body, "an event's bytes changed"
        return ticket, delivery

    @precondition(lambda self: self.look.role(Role.DELIVER).holders)
    @rule(ends=st.lists(st.sampled_from(sorted(ENDS)), min_size=2, max_size=6))
    def attempts(self, ends: list[str]) -> None:
        """One after the other."""
        for end in ends:
            tickets = self.in_hand()
            if tickets:
                self._finish(*self._begin(tickets[0]), end)

    @precondition(lambda self: self.look.role(Role.DELIVER).holders)
    @rule(number=NUMBER, end=st.sampled_from(sorted(ENDS)))
    def a_slow_worker(self, number: int, end: str) -> None:
        """Its lease runs out, another is dispatched for, and then it comes with what it has."""
        ticket, delivery = self._begin(pick(held(self.look, Role.DELIVER), number))
        self.stage.clock.advance(31.0)
        self.sweep()
        self._finish(ticket, delivery, end)

    @precondition(lambda self: self.begun)
    @rule(number=NUMBER)
    def begin_again(self, number: int) -> None:
        """The same dispatch, run twice; a stale one gets nothing."""
        ticket, _ = pick(self.begun, number)
        assert (now(self.stage.deliveries.begin(ticket)) is not None) == self.newest(ticket)

    @precondition(lambda self: self.begun)
    @rule(number=NUMBER, end=st.sampled_from(sorted(ENDS)), twice=st.booleans())
    def finish(self, number: int, end: str, twice: bool) -> None:
        ticket, delivery = pick(self.begun, number)
        self.begun.remove((ticket, delivery))
        self._finish(ticket, delivery, end, twice=twice)

    def _finish(self, ticket: Ticket, delivery: Delivery, end: str, *, twice: bool = False) -> None:
        event, target = ENDS[end]
        newest = self.newest(ticket)
        attempts = delivery.attempts + 1
        made = replace(delivery, attempts=attempts, log=[*delivery.log, {"number": attempts}])
        for time in range(2 if twice else 1):
            retry = 5000 if end == "failed" else None
            answer = now(self.stage.deliveries.finish(ticket, made, event, retry_in_ms=retry, tally=[]))
            if not newest or time:
                assert answer.outcome == "stale"
            else:
                assert answer.outcome == ("repeated" if end == "failed" else "moved")
                known = self.deliveries[made.id]
                known.state, known.attempts = target, attempts
            self.seen[f"{end} {answer.outcome}"] += 1

    @precondition(lambda self: self.deliveries)
    @rule(number=st.integers(0, 60), twice=st.booleans())
    def redeliver(self, number: int, twice: bool) -> None:
        """From any state. Sent again because its answer was lost, the wish changes nothing."""
        name = pick(sorted(self.deliveries), number)
        known = self.deliveries[name]
        delivery = now(self.stage.deliveries.read("acme", name))
        assert delivery is not None
        self.wishes += 1
        expected = self.hindrance(name)
        before = known.state
        for time in range(2 if twice else 1):
            look = dump.read(self.server)
            found = now(self.stage.deliveries.redeliver(delivery, f"wish {self.wishes}"))
            if expected is not None:
                assert found is expected
            else:
                assert isinstance(found, Delivery)
                known.state, known.since, known.trigger = "pending", known.attempts, "manual"
            if expected is not None or time:
                assert without_noise(dump.read(self.server)) == without_noise(look)
        if expected is None and known.endpoint in self.running:
            self.running[known.endpoint].by_hand.add(name)
        self.seen[f"redeliver {before} {expected or 'begun'}"] += 1

    @rule(many=st.integers(2, 4), pause=st.sampled_from([0.0, 0.25]))
    def a_bad_day(self, many: int, pause: float) -> None:
        """So many jobs, and every attempt is the last."""
        for _ in range(many):
            self.owe()
            self.stage.clock.advance(pause)
        while tickets := self.in_hand():
            for ticket in tickets:
                self._finish(*self._begin(ticket), "exhausted")

    @precondition(lambda self: self.lacking())
    @rule(
        number=NUMBER,
        back=st.sampled_from([1000, 40_000, 300_000, 300_000]),
        length=st.sampled_from([0, 5000, 300_000, 300_000]),
        states=st.sampled_from([("dead", "held"), ("dead", "held"), ("dead",), ("held",)]),
        steps=st.integers(0, 4),
    )
    def recover(self, number: int, back: int, length: int, states: tuple[str, ...], steps: int) -> None:
        """It begins, and goes so many steps at once."""
        name = pick(self.lacking(), number)
        ms = self.stage.now_ms()
        since, until = ms - back, min(ms, ms - back + length)
        self.wishes += 1
        asked = Recovery(
            f"rec_{self.wishes}", "acme", name, since, until, ms, tuple(DeliveryState(s) for s in states)
        )
        found = now(self.recoveries.begin(asked))
        owed = {
            one
            for one, known in self.deliveries.items()
            if known.endpoint == name and known.state in states and since <= known.made_at <= until
        }
        if name in self.disabled:
            assert found is Hindrance.DISABLED
        elif name in self.running:
            assert found is Hindrance.UNDER_WAY
        else:
            assert found == replace(asked, total=len(owed))
            assert now(self.recoveries.begin(asked)) == found
            self.running[name] = ModelRecovery(asked.id, since, until, states, owed)
            self.seen["recovery begun"] += 1
            while steps and name in self.running:
                self.look = dump.read(self.server)
                self._advance(name)
                steps -= 1

    @precondition(lambda self: self.running)
    @rule(number=NUMBER)
    def advance(self, number: int) -> None:
        """Another batch: nothing a second time, the oldest first, and all of it in the end."""
        self._advance(pick(sorted(self.running), number))

    def _advance(self, name: str) -> None:
        recovery = self.running[name]
        waiting = len([t for t, r in self.look.role(Role.DELIVER).ranks.items() if _recovered(t, r, name)])
        step = now(self.recoveries.advance(recovery.id))
        shown = now(self.recoveries.read("acme", recovery.id))
        assert shown is not None
        if name in self.disabled:
            assert (step, shown.state) == (Step(False, True, 0), RecoveryState.CANCELED)
            del self.running[name]
            self.seen["recovery canceled"] += 1
            return
        if waiting >= MOST_WAITING:
            assert step == Step(False, False, 0), "more than may wait"
            self.seen["recovery waits"] += 1
            return
        moved = self._pending_again(name, recovery)
        assert len(moved) == step.moved
        recovery.done |= moved
        assert shown.done == len(recovery.done)
        self.seen[f"recovered {min(step.moved, 1)}"] += 1
        if step.over:
            assert shown.state is RecoveryState.DONE
            assert recovery.owed <= recovery.done | recovery.by_hand, "not all was sent again"
            del self.running[name]
            self.seen["recovery done"] += 1

    def _pending_again(self, name: str, recovery: ModelRecovery) -> set[str]:
        """What the step has moved, which the model learns."""
        records = dump.read(self.server).records("delivery")
        moved = {one for one, known in self.deliveries.items() if records[one]["state"] != known.state}
        for one in moved:
            known = self.deliveries[one]
            assert known.endpoint == name
            assert known.state in recovery.states
            assert recovery.since <= known.made_at <= recovery.until
            assert one not in recovery.done, "sent a second time by one recovery"
        last = max((self.deliveries[one].made_at for one in moved), default=0)
        older = {one for one in recovery.owed if self.deliveries[one].made_at <= last}
        assert older <= recovery.done | recovery.by_hand | moved, "an older one was passed over"
        for one in moved:
            known = self.deliveries[one]
            known.state, known.since, known.trigger = "pending", known.attempts, "recovery"
        return moved


def _recovered(ticket: str, rank: float, lane: str) -> bool:
    return rank >= 2e13 and ticket.startswith(f"{lane}|")
