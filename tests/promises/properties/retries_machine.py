"""First attempts, retries and what is recovered, in tenants' lanes that are paused, half-open and resumed."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.dispatch import HealthLimits, Role, RoleLimits
from gateway.store import arguments, script_library
from tests.gateway.store.lane_scripts import ENTER, JUDGE, LEAVE, SET_DUE, as_call
from tests.promises.crashes.store import Server, on_virtual_clock
from tests.promises.properties import dump, invariants
from tests.promises.properties.dump import Lanes
from tests.promises.properties.hands import held, pick
from tests.promises.properties.invariants import is_new, part
from tests.promises.properties.stage import Stage, now

DELIVER: Final = "{gw}:deliver:*"
TENANTS: Final = {"ep_a": "acme", "ep_b": "acme", "ep_c": "acme", "url-d": "zeta", "events-zeta": "zeta"}
LANES: Final = tuple(TENANTS)
HEALTH: Final = HealthLimits(60_000, 10_000, least=4, percent=50, pause_ms=5_000, max_pause_ms=20_000)
TENANT_SLOTS: Final = 4
LIMITS: Final = RoleLimits(
    slots=6, lane_slots=3, lease_ms=15_000, retry_share=0.7, tenant_slots=TENANT_SLOTS, health=HEALTH
)
SHARE: Final = part(LIMITS.retry_share, LIMITS.slots)
NUMBER: Final = st.integers(0, 20)
LANE: Final = st.sampled_from(LANES)
KIND: Final = st.sampled_from(["new", "again", "again", "recovered"])
RARELY: Final = st.sampled_from([False, False, False, False, True])
_PARTS: Final = (
    script_library.tables(on_virtual_clock(script_library.parts()))
    + "call.begin()\ncall.virtual = tonumber(string.sub(KEYS[#KEYS], 7))\n"
)


class RetriesMachine(RuleBasedStateMachine):
    """The deliver role. A ticket stands for a delivery, whose record need say nothing but whose it is."""

    def __init__(self, server: Server, folder: Path, seen: Counter[str]) -> None:
        super().__init__()
        self.server, self.seen = server, seen
        self.stage = Stage(server, folder, seen, {Role.DELIVER: LIMITS})
        self.limits = arguments.dump(arguments.limits_of(self.stage.roles, Role.DELIVER))
        self.inside: set[str] = set()
        self.retrying: set[str] = set()  # tickets that were not handed out as new work
        self.leant: defaultdict[str, bool] = defaultdict(bool)
        self.named = 0
        self.look = self.lanes()

    def lanes(self) -> Lanes:
        return dump.read(self.server, DELIVER).role(Role.DELIVER)

    def call(self, snippet: str, *args: str | int | bytes) -> Any:
        return self.server.client.eval(_PARTS + as_call(snippet), 1, f"{{gw}}:@{self.stage.now_ms()}", *args)

    @initialize(caps=st.lists(st.integers(1, 5), max_size=2))
    def give_caps(self, caps: list[int]) -> None:
        for lane, cap in zip(LANES, caps, strict=False):
            self.server.client.hset("{gw}:deliver:caps", lane, cap)

    # -- what may happen

    @rule(kinds=st.lists(KIND, min_size=len(LANES), max_size=len(LANES)), many=st.integers(2, 5))
    def crowd(self, kinds: list[str], many: int) -> None:
        """As after an outage: work for everybody, of one kind here and of another there."""
        for lane, kind in zip(LANES, kinds, strict=True):
            self.enter(lane, kind, many)
        self.dispatch()

    @rule(lane=LANE, kind=KIND, many=st.integers(1, 4))
    def enter(self, lane: str, kind: str, many: int) -> None:
        for _ in range(many):
            self.named += 1
            ticket = f"{lane}|{self.named}"
            if not lane.startswith("events-"):
                self.server.client.hset(f"{{gw}}:delivery:{self.named}", "tenant", TENANTS[lane])
            self.call(ENTER, "deliver", ticket, kind, self.stage.now_ms())
            self.inside.add(ticket)

    @rule()
    def dispatch(self) -> None:
        self.handing(lambda: self.stage.scripts.run("dispatch", ["{gw}:x"], [self.limits]))

    @rule(seconds=st.sampled_from([0.25, 1.0, 5.0, 21.0]))
    def wait(self, seconds: float) -> None:
        self.stage.clock.advance(seconds)

    @precondition(lambda self: self.look.holders)
    @rule(
        numbers=st.lists(NUMBER, min_size=1, max_size=4), in_ms=st.sampled_from([None, None, 0, 1_000, 6_000])
    )
    def finish_some(self, numbers: list[int], in_ms: int | None) -> None:
        for number in numbers:
            self.look = self.lanes()
            if self.look.holders:
                self.finish(number, in_ms)

    def finish(self, number: int, in_ms: int | None) -> None:
        """An attempt ends: for good, or to be made again."""
        ticket = pick(held(dump.read(self.server, DELIVER), Role.DELIVER), number)
        stays = in_ms is not None or str(ticket) in self.look.due or str(ticket) in self.look.again
        args: list[Any] = [
            ticket.role,
            str(ticket),
            ticket.dispatch_number,
            in_ms or 0,
            int(in_ms is None),
            self.limits,
        ]
        if not stays:
            self.inside.discard(str(ticket))
        self.handing(lambda: self.stage.scripts.run("postpone", ["{gw}:x"], args), freed=str(ticket))

    @precondition(lambda self: self.look.slots or self.look.due)
    @rule(number=NUMBER)
    def ask(self, number: int) -> None:
        """A retry that waits for its time is wanted now, or again while one is under way."""
        ticket = pick(sorted([*self.look.slots, *self.look.due]), number)
        self.call(SET_DUE, "deliver", ticket, self.stage.now_ms())

    @precondition(lambda self: self.inside)
    @rule(number=NUMBER)
    def forget(self, number: int) -> None:
        ticket = pick(sorted(self.inside), number)
        self.call(LEAVE, "deliver", ticket)
        self.inside.discard(ticket)
        self.retrying.discard(ticket)
        self.leant[ticket.partition("|")[0]] = False

    @rule(lane=LANE, in_ms=st.sampled_from([None, 1_000, 6_000]), really=RARELY)
    def park(self, lane: str, in_ms: int | None, really: bool) -> None:
        if really:
            now(self.stage.lanes.pause(Role.DELIVER, lane, in_ms))

    @rule(lane=LANE)
    def resume(self, lane: str) -> None:
        args: list[Any] = ["deliver", arguments.dump([lane]), self.limits, ""]
        self.handing(lambda: self.stage.scripts.run("resume_lanes", ["{gw}:x"], args))

    @rule(lane=LANE, ok=st.booleans(), many=st.integers(1, 5), really=RARELY)
    def judge(self, lane: str, ok: bool, many: int, really: bool) -> None:
        if not really:
            return
        told = {"error": "timeout", "url": "https://client.example.com"}
        verdict = arguments.dump({"lane": lane, "endpoint": "", "tenant": "acme", "ok": ok, **told})
        limits = arguments.dump(arguments.health_limits(HEALTH))
        for _ in range(many):
            self.call(JUDGE, verdict, limits, self.stage.now_ms())

    @rule()
    def worker_dies(self) -> None:
        """With all that it holds: the leases run out, and the tickets are dispatched again."""
        self.stage.clock.advance(16.0)
        for ticket in now(self.stage.lanes.expired(Role.DELIVER)):
            assert now(self.stage.lanes.redispatch(ticket))
            self.seen["dispatched again"] += 1

    @rule(really=RARELY)
    def all_is_served_in_the_end(self, really: bool) -> None:
        if not really:
            return
        for lane in LANES:
            self.resume(lane)
        self.stage.clock.advance(6.0)
        for _ in range(len(self.inside) + 2):
            for ticket in held(dump.read(self.server, DELIVER), Role.DELIVER):
                self.look = self.lanes()
                self.finish_all(str(ticket))
            self.dispatch()
        left = self.lanes()
        assert not left.in_lanes | set(left.slots) | set(left.due), "some are never served"
        kept = [left.tenants, left.tenant_inflight, left.crowds, left.relieved]
        assert not any(kept), f"kept of tenants that are owed nothing: {kept}"
        self.seen["all served"] += 1

    def finish_all(self, ticket: str) -> None:
        self.call(LEAVE, "deliver", ticket)
        self.inside.discard(ticket)
        self.retrying.discard(ticket)

    # -- what one hand-out may do

    def handing(self, call: Any, freed: str | None = None) -> None:
        old = self.lanes()
        now(call())
        new = self.lanes()
        if freed is not None:
            self.retrying.discard(freed)
        dispatched = sorted(
            (t for t, number in new.holders.items() if old.holders.get(t) != number),
            key=lambda t: int(new.holders[t]),
        )
        fresh = Counter(t.partition("|")[0] for t, rank in old.ranks.items() if is_new(rank))
        for ticket in dispatched:
            self._taken(ticket, old, fresh)
        for ticket in dispatched:
            self._in_order(ticket, old, new)
        self._nothing_stands_idle(new)

    def _taken(self, ticket: str, old: Lanes, fresh: Counter[str]) -> None:
        """`fresh`: of each lane, how many new ones wait before it is taken. They take turns with retries."""
        lane = ticket.partition("|")[0]
        kind = _kind(old.ranks.get(ticket, 0.0))  # what was not in a lane before had just become due
        self.seen[kind] += 1
        if kind == "new":
            fresh[lane] -= 1
            self.leant[lane] = False
            return
        self.retrying.add(ticket)
        if fresh[lane]:
            assert not self.leant[lane], "two retries in a row, while new work waits"
            self.leant[lane] = True
            self.seen["taking turns"] += 1

    def _in_order(self, ticket: str, old: Lanes, new: Lanes) -> None:
        """Of each kind the oldest first, what is recovered last of all, and none of a paused lane."""
        lane, rank = ticket.partition("|")[0], old.ranks.get(ticket)
        assert lane not in new.parked, "dispatched from a paused lane"
        in_lane = sum(t.startswith(f"{lane}|") for t in new.slots)
        assert in_lane <= new.cap(lane, LIMITS.lane_slots), "more than the lane's cap"
        assert _held_by(new, TENANTS[lane]) <= TENANT_SLOTS, "more than the tenant's slots"
        for waits in new.lanes.get(lane, []):
            if rank is not None and _kind(rank) == _kind(new.ranks[waits]):
                assert rank < new.ranks[waits], "a younger one went first"
            if rank is not None and _kind(rank) == "recovered":
                assert _kind(new.ranks[waits]) == "recovered", "recovered before what is live"
        if not is_new(rank or 0.0):
            mine = int(new.retries.get(lane, 0))
            assert mine <= part(LIMITS.retry_share, new.cap(lane, LIMITS.lane_slots)), (
                "more than its retries' share"
            )

    def _nothing_stands_idle(self, new: Lanes) -> None:
        if len(new.slots) >= LIMITS.slots:
            return
        for lane, waiting in new.lanes.items():
            cap = new.cap(lane, LIMITS.lane_slots)
            if lane in new.parked or new.of_lane(lane) >= cap:
                continue
            if _held_by(new, TENANTS[lane]) >= TENANT_SLOTS:
                self.seen["tenant is full"] += 1
                continue
            kinds = {_kind(new.ranks[ticket]) for ticket in waiting}
            assert "new" not in kinds, "a slot is free, and new work waits"
            shared = int(new.retries.get(lane, 0)) < part(LIMITS.retry_share, cap)
            assert not (shared and len(new.retrying) < SHARE), "a slot is free, and a retry waits"
            self.seen["share of all is full" if lane in new.blocked else "share of the lane is full"] += 1

    @invariant()
    def nothing_is_lost(self) -> None:
        self.look = self.lanes()
        invariants.check_lanes(self.look, Role.DELIVER, LIMITS, asked_again=True)
        assert set(self.look.slots) | self.look.in_lanes | set(self.look.due) == self.inside
        assert self.look.retrying == self.retrying
        self._check_tenants(self.look)

    def _check_tenants(self, lanes: Lanes) -> None:
        """All of it follows from the slots, and from who waits: no lane waits for a slot that is there."""
        held = Counter(TENANTS[ticket.partition("|")[0]] for ticket in lanes.slots)
        assert {name: int(n) for name, n in lanes.tenant_inflight.items()} == held
        assert lanes.tenants.items() <= TENANTS.items()
        needed = set(lanes.inflight) | lanes.crowded
        assert needed <= set(lanes.tenants) <= needed | set(lanes.fair), "known for too long, or not known"
        in_other_ways = lanes.crowded & (set(lanes.fair) | set(lanes.blocked) | set(lanes.parked))
        assert not in_other_ways, f"a lane waits in two ways: {in_other_ways}"
        for tenant, crowd in lanes.crowds.items():
            assert {TENANTS[lane] for lane in crowd} == {tenant}, "in the crowd of another tenant"
            in_line = any(TENANTS[lane] == tenant for lane in lanes.fair)
            assert held[tenant] >= TENANT_SLOTS or tenant in lanes.relieved or in_line, (
                "a crowd is never relieved"
            )


def _held_by(lanes: Lanes, tenant: str) -> int:
    return sum(TENANTS[ticket.partition("|")[0]] == tenant for ticket in lanes.slots)


def _kind(rank: float) -> str:
    return "new" if is_new(rank) else "recovered" if rank >= 2e13 else "retry"
