"""Lanes and slots alone: whatever enters is served, fairly, within every limit, until it leaves."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.dispatch import BATCH, Role, RoleLimits
from gateway.jobs import Job
from gateway.lifecycle import JobEvent, JobState
from gateway.store import orders
from gateway.store.base import AccountVerdict, Move
from tests.promises.crashes.store import Server
from tests.promises.properties import dump, invariants
from tests.promises.properties.hands import held, pick
from tests.promises.properties.stage import Stage, now

SUBMIT: Final = "{gw}:submit:*"
PROBE_MS: Final = 30_000
PER_SECOND: Final = 4
TENANTS: Final = ("a", "b", "c")
LIMITS: Final = RoleLimits(slots=6, lane_slots=3, lease_ms=15_000, per_second=PER_SECOND, probe_ms=PROBE_MS)
#: One of a crowd, so that lanes wait for slots and not for the rate.
NUMBER = st.integers(0, 20)


class LanesMachine(RuleBasedStateMachine):
    """The submit role with a rate, whose jobs are claimed, answered and given back at once."""

    def __init__(self, server: Server, folder: Path, seen: Counter[str]) -> None:
        super().__init__()
        self.server, self.seen = server, seen
        self.stage = Stage(server, folder, seen, {Role.SUBMIT: LIMITS})
        self.inside: set[str] = set()
        self.handed: list[int] = []  # when, in ms
        self.probes: list[int] = []
        self.parked_at: int | None = None
        self.hold_until = 0
        self.limit = LIMITS.slots
        self.cut_at: int | None = None
        self.began: dict[str, int] = {}
        self.parked_before = False
        self.look = dump.read(server, SUBMIT)

    @property
    def ms(self) -> int:
        return self.stage.now_ms()

    @rule(tenant=st.sampled_from(TENANTS), many=st.integers(1, 4))
    def enter(self, tenant: str, many: int) -> None:
        for _ in range(many):
            name = self.stage.environment.new_job_id()
            job = Job(name, tenant, JobState.QUEUED, "m", {}, self.ms)
            self.before()
            now(self.stage.jobs.accept(job, None, "", queue_max=1000))
            self.inside.add(f"{tenant}|{name}")
            self.after()

    @rule()
    def dispatch(self) -> None:
        self.before()
        now(self.stage.lanes.dispatch())
        self.after()

    @rule(seconds=st.sampled_from([0.25, 0.25, 1.0, 5.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.stage.clock.advance(seconds)

    @precondition(lambda self: self.look.role(Role.SUBMIT).holders)
    @rule(
        number=NUMBER,
        kind=st.sampled_from(
            ["accepted", "accepted", "accepted", "busy", "later", "later", "refused", "back", "done", "done"]
        ),
    )
    def answer(self, number: int, kind: str) -> None:
        """A ticket that holds a slot is claimed, and its submission answered."""
        ticket = pick(held(self.look, Role.SUBMIT), number)
        job = now(self.stage.jobs.claim(ticket, "run"))
        if job is None:
            job = Job(ticket.name, ticket.lane, JobState.SUBMITTING, "m", {}, 0)
        else:
            self.began[job.id] = job.submitting_at or 0
        self.before()
        outcome = now(self.stage.jobs.apply(job, self._move(job, kind))).outcome
        done = kind == "done" and outcome == "moved"
        if done:
            self.inside.discard(str(ticket))
        self.seen[f"{kind} {outcome}"] += 1
        self._verdict(kind, self.began[job.id])
        self.after()

    def _move(self, job: Job, kind: str) -> Move:
        back: dict[str, Any] = {"unset": ["released_at"], "give_back_in_ms": 0}
        match kind:
            case "accepted":
                return Move(JobEvent.UPSTREAM_ACCEPTED, account=AccountVerdict("accepted"), hold_ms=-1)
            case "busy":
                return Move(JobEvent.UPSTREAM_BUSY, account=AccountVerdict("busy"), **back)
            case "later":
                return Move(JobEvent.UPSTREAM_BUSY, account=AccountVerdict("busy", 10_000), **back)
            case "refused":
                return Move(JobEvent.UPSTREAM_BUSY, account=AccountVerdict("refused", status=401), **back)
            case "back":
                return Move(JobEvent.CLAIM_LOST, **back)
            case _:
                place = held(self.look, Role.SUBMIT)
                return Move(JobEvent.UPSTREAM_REJECTED, done=[t for t in place if t.name == job.id])

    def _verdict(self, kind: str, began: int) -> None:
        """What it means for the account: halved once for a crowd, one more after a slotful of successes."""
        if kind in ("busy", "later"):
            if kind == "later":
                self.hold_until = self.ms + 10_000
            if self.cut_at is None or began >= self.cut_at:
                before, self.cut_at = self.account_slots(), self.ms
                self.limit = self.stored_slots()
                assert self.limit <= max(1, before // 2), "a 429 did not halve the slots"
        elif kind == "refused" and self.parked_at is None:
            self.parked_at, self.probes = self.ms, []
        elif kind == "accepted":
            if self.parked_at is not None and began >= self.parked_at:
                self.parked_at = None
            before, self.limit = self.account_slots(), self.stored_slots()
            assert self.account_slots() <= before + 1, "slots grow one at a time"
        if self.stored_slots() == LIMITS.slots:
            self.limit, self.cut_at = LIMITS.slots, None

    def account_slots(self) -> int:
        """Of those that a 429 took, one comes back with each interval."""
        grown = 0 if self.cut_at is None else (self.ms - self.cut_at) // PROBE_MS
        return min(LIMITS.slots, self.limit + grown)

    def stored_slots(self) -> int:
        return int(self.server.client.hget("{gw}:account:main", "slots") or LIMITS.slots)

    # -- what one hand-out may do

    def before(self) -> None:
        self.look = dump.read(self.server, SUBMIT)
        self.parked_before = self.parked_at is not None

    def after(self) -> None:
        """Compares the slots with what they were: who was served, and whether they might be."""
        old, new = self.look.role(Role.SUBMIT), dump.read(self.server, SUBMIT).role(Role.SUBMIT)
        rung = [t for t, ring in new.holders.items() if old.holders.get(t) != ring]
        self.handed += [self.ms] * len(rung)
        if rung:
            assert self.ms >= self.hold_until or self.parked_at is not None, "sent while told to wait"
            assert len(rung) <= BATCH
            assert len(new.slots) <= self.account_slots() or self.parked_at is not None, (
                "more than the account's"
            )
        if self.parked_at is not None and rung:
            self.probes.append(self.ms)
            assert len(rung) == 1, "more than a probe while the account is parked"
            last = self.probes[-2] if len(self.probes) > 1 else self.parked_at
            assert self.ms - last >= PROBE_MS, "probes too close to each other"
            self.seen["probe"] += 1
        recent = Counter(self.handed[-60:])
        for start in recent:
            inside = sum(n for at, n in recent.items() if start <= at <= self.ms)
            allowed = PER_SECOND * (1 + (self.ms - start) / 1000)
            assert inside <= allowed + 1e-6, f"{inside} in {self.ms - start} ms"

    @rule()
    def slots_come_back_with_time(self) -> None:
        """Whatever a 429 took: the few that are left may be held by jobs which nobody hears of."""
        if self.parked_at is not None:
            return
        for tenant in TENANTS:
            self.enter(tenant, 3)
        for seconds in (LIMITS.slots * PROBE_MS / 1000, 1.0):
            self.stage.clock.advance(seconds)
            self.dispatch()
        full = dump.read(self.server, SUBMIT).role(Role.SUBMIT).slots
        assert len(full) >= LIMITS.slots, "the slots stay few"
        self.seen["came back"] += 1

    @rule()
    def all_lanes_are_served_alike(self) -> None:
        """While each of them waits all the time, turns differ by one at most."""
        if self.parked_at is not None:
            return
        tickets = dict.fromkeys(TENANTS, 0)
        for tenant in TENANTS:
            self.enter(tenant, 4)
        for _ in range(6):
            for ticket in held(dump.read(self.server, SUBMIT), Role.SUBMIT):
                self.server.run("transition", [f"{{gw}}:job:{ticket.name}"], [self._gone(str(ticket)), ""])
                self.inside.discard(str(ticket))
            self.stage.clock.advance(11.0)
            self.before()
            waiting = {lane: n for lane, n in self.look.role(Role.SUBMIT).lanes.items() if len(n) >= 4}
            now(self.stage.lanes.dispatch())
            self.after()
            if set(waiting) != set(TENANTS):
                break
            new = dump.read(self.server, SUBMIT).role(Role.SUBMIT).holders
            for text in set(new) - set(self.look.role(Role.SUBMIT).holders):
                tickets[text[0]] += 1
            turns = dump.read(self.server, SUBMIT).role(Role.SUBMIT).fair
            assert max(turns.values()) - min(turns.values()) <= 1, f"turns of unlike lanes: {turns}"
            # one turn more at the beginning, for who waited longer, and one more at the end
            assert max(tickets.values()) - min(tickets.values()) <= 2, f"served unlike: {tickets}"
            self.seen["served alike"] += 1

    def _gone(self, ticket: str) -> str:
        """An order that ends the job, without handing anything out."""
        moves = {state.value: "failed" for state in JobState}
        lane, _, name = ticket.partition("|")
        job = Job(name, lane, JobState.QUEUED, "m", {}, 0)
        order = orders.job_order(job, Move(JobEvent.POISONED), self.stage.roles)
        return json.dumps(order | {"moves": moves, "leave": [["submit", ticket]], "dispatch": {}})

    @invariant()
    def nothing_is_lost(self) -> None:
        self.look = dump.read(self.server, SUBMIT)
        lanes = self.look.role(Role.SUBMIT)
        invariants.check_lanes(lanes, Role.SUBMIT, LIMITS)
        assert set(lanes.slots) | lanes.in_lanes | set(lanes.due) == self.inside
