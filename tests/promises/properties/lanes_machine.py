"""Lanes and slots alone: whatever enters is served, fairly, within every limit, until it leaves."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.dispatch import BATCH, AccountLimits, Role, RoleLimits
from gateway.jobs import Job, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.store import arguments
from gateway.store.base import AdmissionLimits
from gateway.store.effects import Finish, GiveBackSlot, HoldSlot, JudgeAccount, UnsetFields
from gateway.store.transitions import Transition
from tests.promises.crashes.store import Server
from tests.promises.properties import dump, invariants
from tests.promises.properties.hands import held, pick
from tests.promises.properties.stage import Stage, now

SUBMIT: Final = "{gw}:submit:*"
PROBE_MS: Final = 30_000
PER_SECOND: Final = 4
TENANTS: Final = ("a", "b", "c")
ACCOUNTS: Final = (AccountLimits("main", 4), AccountLimits("second", 2, weight=2, per_second=2))
LIMITS: Final = RoleLimits(
    slots=6, lane_slots=3, lease_ms=15_000, per_second=PER_SECOND, probe_ms=PROBE_MS, accounts=ACCOUNTS
)
#: One of a crowd, so that lanes wait for slots and not for the rate.
NUMBER = st.integers(0, 20)


@dataclass
class ModelAccount:
    """What the documents say of one account. Times: ms. `limit`: slots that a 429 left."""

    limits: AccountLimits
    limit: int
    cut_at: int | None = None
    parked_at: int | None = None
    hold_until: int = 0
    probes: list[int] = field(default_factory=list)

    def slots(self, now: int) -> int:
        """Of those that a 429 took, one comes back with each interval."""
        grown = 0 if self.cut_at is None else (now - self.cut_at) // PROBE_MS
        return min(self.limits.slots, self.limit + grown)


class LanesMachine(RuleBasedStateMachine):
    """The submit role with a rate and two accounts: jobs are claimed, answered and given back at once."""

    def __init__(self, server: Server, folder: Path, seen: Counter[str]) -> None:
        super().__init__()
        self.server, self.seen = server, seen
        self.stage = Stage(server, folder, seen, {Role.SUBMIT: LIMITS})
        self.inside: set[str] = set()
        self.handed: list[tuple[int, str]] = []  # when, in ms, and with which account
        self.accounts = {one.name: ModelAccount(one, one.slots) for one in ACCOUNTS}
        self.began: dict[str, int] = {}
        self.last: dict[str, str] = {}  # job -> the account that it was sent with last
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
            now(self.stage.jobs.accept(job, None, "", AdmissionLimits(queue_max=1000)))
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
        account = self.server.client.hget(f"{{gw}}:job:{job.id}", "account") or "main"
        self.seen["failover"] += self.last.get(job.id, account) != account
        self.last[job.id] = account
        self.before()
        outcome = now(self.stage.jobs.apply(job, self._move(job, kind, account))).outcome
        done = kind == "done" and outcome == "moved"
        if done:
            self.inside.discard(str(ticket))
        self.seen[f"{kind} {outcome}"] += 1
        self._verdict(kind, self.began[job.id], account)
        self.after()

    def _move(self, job: Job, kind: str, account: str) -> Transition:
        refused_by = account if kind == "refused" else None
        back = [UnsetFields(["released_at"]), GiveBackSlot(0, refused_by)]
        match kind:
            case "accepted":
                verdict = JudgeAccount("accepted", account=account)
                return Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[HoldSlot(), verdict])
            case "busy" | "later":
                verdict = JudgeAccount("busy", 10_000 if kind == "later" else 0, account=account)
                return Transition(JobEvent.UPSTREAM_BUSY, effects=[*back, verdict])
            case "refused":
                verdict = JudgeAccount("refused", status=401, account=account)
                return Transition(JobEvent.UPSTREAM_BUSY, effects=[*back, verdict])
            case "back":
                return Transition(JobEvent.CLAIM_LOST, effects=back)
            case _:
                place = held(self.look, Role.SUBMIT)
                return Transition(
                    JobEvent.UPSTREAM_REJECTED, effects=[Finish([t for t in place if t.name == job.id])]
                )

    def _verdict(self, kind: str, began: int, name: str) -> None:
        """What it means for that account alone: halved once for a crowd, one more after a slotful of
        successes."""
        account = self.accounts[name]
        if kind in ("busy", "later"):
            if kind == "later":
                account.hold_until = self.ms + 10_000
            if account.cut_at is None or began >= account.cut_at:
                before, account.cut_at = account.slots(self.ms), self.ms
                account.limit = self.stored_slots(account)
                assert account.limit <= max(1, before // 2), "a 429 did not halve the slots"
        elif kind == "refused" and account.parked_at is None:
            account.parked_at, account.probes = self.ms, []
        elif kind == "accepted":
            if account.parked_at is not None and began >= account.parked_at:
                account.parked_at = None
            before, account.limit = account.slots(self.ms), self.stored_slots(account)
            assert account.slots(self.ms) <= before + 1, "slots grow one at a time"
        for other in self.accounts.values():
            if self.stored_slots(other) == other.limits.slots:
                other.limit, other.cut_at = other.limits.slots, None
            assert other.limit == self.stored_slots(other), "another account's 429 took its slots"

    def stored_slots(self, account: ModelAccount) -> int:
        limits = account.limits
        return int(self.server.client.hget(f"{{gw}}:account:{limits.name}", "slots") or limits.slots)

    @property
    def some_are_parked(self) -> bool:
        return any(account.parked_at is not None for account in self.accounts.values())

    # -- what one hand-out may do

    def before(self) -> None:
        self.look = dump.read(self.server, SUBMIT)

    def after(self) -> None:
        """Compares the slots with what they were: who was served, and whether they might be."""
        old, new = self.look.role(Role.SUBMIT), dump.read(self.server, SUBMIT).role(Role.SUBMIT)
        dispatched = [t for t, number in new.holders.items() if old.holders.get(t) != number]
        assert len(dispatched) <= BATCH
        sent = Counter(new.accounts.get(ticket, "main") for ticket in dispatched)
        held_now = Counter(new.accounts.get(ticket, "main") for ticket in new.slots)
        for name, many in sent.items():
            self.handed += [(self.ms, name)] * many
            self._may_send(self.accounts[name], many, held_now[name])
            self.seen[f"sent with {name}"] += 1
        self._within_rate([at for at, _ in self.handed], PER_SECOND)
        self._within_rate([at for at, name in self.handed if name == "second"], ACCOUNTS[1].per_second)

    def _may_send(self, account: ModelAccount, many: int, held_now: int) -> None:
        if account.parked_at is None:
            assert self.ms >= account.hold_until, "sent while told to wait"
            assert held_now <= account.slots(self.ms), "more than the account's"
            return
        account.probes.append(self.ms)
        assert many == 1, "more than a probe while the account is paused"
        last = account.probes[-2] if len(account.probes) > 1 else account.parked_at
        assert self.ms - last >= PROBE_MS, "probes too close to each other"
        self.seen["probe"] += 1
        self.seen["probe beside others"] += len(self.accounts) > sum(
            other.parked_at is not None for other in self.accounts.values()
        )

    def _within_rate(self, handed: list[int], per_second: float) -> None:
        recent = Counter(handed[-60:])
        for start in recent:
            inside = sum(n for at, n in recent.items() if start <= at <= self.ms)
            allowed = per_second * (1 + (self.ms - start) / 1000)
            assert inside <= allowed + 1e-6, f"{inside} in {self.ms - start} ms"

    @rule()
    def slots_come_back_with_time(self) -> None:
        """Whatever a 429 took: the few that are left may be held by jobs which nobody hears of."""
        if self.some_are_parked:
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
        if self.some_are_parked:
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
        ending = Transition(JobEvent.POISONED, effects=[Finish([submit_ticket(job)])])
        document = arguments.job_transition(job, ending, self.stage.roles)
        return json.dumps(document | {"moves": moves, "dispatch": {}})

    @invariant()
    def nothing_is_lost(self) -> None:
        self.look = dump.read(self.server, SUBMIT)
        lanes = self.look.role(Role.SUBMIT)
        invariants.check_lanes(lanes, Role.SUBMIT, LIMITS)
        invariants.check_accounts(lanes, LIMITS)
        assert set(lanes.slots) | lanes.in_lanes | set(lanes.due) == self.inside
