"""What must be true of everything that the server holds, whatever happened."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Set

from gateway.dispatch import Role, RoleLimits
from gateway.events import FINAL_TYPES, EventType
from gateway.lifecycle import JOB_TRANSITIONS, JobState
from gateway.store.job_history import history_of
from tests.promises.properties.dump import Dump, Lanes
from tests.promises.properties.model import FINAL, RANK, Model, ModelJob


def check_lanes(
    lanes: Lanes, role: Role, limits: RoleLimits, kept: Set[str] = frozenset(), *, asked_again: bool = False
) -> None:
    """No ticket is in two places, and the tallies of slots are those of the tickets. `kept`: tickets that
    nobody has in hand, and that fill a slot for a while. `asked_again`: some that hold one may be due too."""
    held, inside, due = set(lanes.slots), lanes.in_lanes, set(lanes.due)
    assert not held & inside, f"{role}: in a lane and in a slot: {held & inside}"
    assert set(lanes.waiting) == inside, f"{role}: waiting is not what the lanes hold"
    assert set(lanes.holders) <= held, f"{role}: holders of no slot"
    assert lanes.again <= held, f"{role}: again, but in no slot"
    if role is not Role.CONFIRM and not asked_again:  # a poll may be asked for while one waits, or is made
        assert not due & (inside | held), f"{role}: due and elsewhere: {due & (inside | held)}"
    by_lane = Counter(ticket.partition("|")[0] for ticket in held)
    assert {lane: int(n) for lane, n in lanes.inflight.items()} == by_lane, f"{role}: inflight is miscounted"
    unheld = held - set(lanes.holders) - kept
    assert all(lanes.slots[ticket] == math.inf for ticket in unheld), f"{role}: leased to nobody"
    asked = {ticket for ticket in lanes.holders if role is not Role.SUBMIT or lanes.slots[ticket] < math.inf}
    assert len(asked) <= limits.slots, f"{role}: more than its slots"
    holding = Counter(ticket.partition("|")[0] for ticket in lanes.holders)
    caps = {lane: min(limits.lane_slots, int(lanes.caps.get(lane, 99))) for lane in holding}
    assert all(n <= caps[lane] for lane, n in holding.items()), f"{role}: more than a lane's slots"
    _check_shares(lanes, role, limits)
    for lane in lanes.lanes:
        if by_lane[lane] < lanes.cap(lane, limits.lane_slots) and not _share_is_full(lanes, lane, limits):
            waits = lane in lanes.parked or lane in lanes.blocked or lane in lanes.crowded
            assert waits or lane in lanes.fair, f"{role}: {lane} waits, has room, and nobody will serve it"


def check_accounts(lanes: Lanes, limits: RoleLimits) -> None:
    """Each slot is one account's, none hands out more than it has; who waits for one is in its line alone."""
    assert set(lanes.accounts) <= set(lanes.slots), "a slot of an account that nobody holds"
    taken = {name: int(n) for name, n in lanes.account_inflight.items()}
    assert taken == Counter(lanes.accounts.values()), "the slots of accounts are miscounted"
    lines = {ticket: account for account, line in lanes.lines.items() for ticket in line}
    assert lines == lanes.pinned, "a ticket waits for an account in another's line"
    assert not set(lines) & {ticket for line in lanes.lanes.values() for ticket in line}
    leased = Counter(
        lanes.accounts.get(ticket, "main") for ticket in lanes.holders if lanes.slots[ticket] < math.inf
    )
    for account in limits.all_accounts:
        assert leased[account.name] <= account.slots, f"{account.name}: more than its slots"


def _check_shares(lanes: Lanes, role: Role, limits: RoleLimits) -> None:
    """What retries hold is counted as it is, and a lane waits in one way only."""
    assert lanes.retrying <= set(lanes.slots), f"{role}: a retry that holds no slot is counted"
    by_lane = Counter(ticket.partition("|")[0] for ticket in lanes.retrying)
    assert {lane: int(n) for lane, n in lanes.retries.items()} == by_lane, f"{role}: retries are miscounted"
    assert len(lanes.retrying) <= part(limits.retry_share, limits.slots), (
        f"{role}: more than the retries' share"
    )
    for one, other in (
        (lanes.fair, lanes.blocked),
        (lanes.fair, lanes.parked),
        (lanes.blocked, lanes.parked),
    ):
        assert not set(one) & set(other), f"{role}: a lane waits in two ways: {set(one) & set(other)}"
    assert not set(lanes.parked) & lanes.probing, f"{role}: half-open while it is paused"
    for lane in lanes.blocked:
        assert not any(is_new(lanes.ranks[t]) for t in lanes.lanes.get(lane, ())), (
            f"{role}: {lane} has new work"
        )


def _share_is_full(lanes: Lanes, lane: str, limits: RoleLimits) -> bool:
    """Nothing but retries waits in the lane, and those of it hold their share."""
    held = int(lanes.retries.get(lane, 0)) >= part(limits.retry_share, lanes.cap(lane, limits.lane_slots))
    return held and limits.retry_share < 1 and not any(is_new(lanes.ranks[t]) for t in lanes.lanes[lane])


def part(share: float, slots: int) -> int:
    """Of so many slots, how many retries may hold."""
    return max(1, math.floor(share * slots))


def is_new(rank: float) -> bool:
    return 1e13 <= rank < 2e13


def check_jobs(dump: Dump, model: Model, now: int) -> None:
    records = {name: found for name, found in dump.records("job").items() if "state" in found}
    assert set(records) == set(model.jobs)
    for name, job in model.jobs.items():
        _check_record(records[name], job)
        _check_place(dump, job)
        _check_audit(history_of(0, dump.keys.get(f"{{gw}}:job:{name}:audit", [])), job)
        _check_told(dump, job)
    _check_indexes(dump, model)
    _check_usage(dump, records)
    _check_tasks(dump, model)


def _check_record(found: Mapping[str, str], job: ModelJob) -> None:
    assert found["state"] == job.state
    assert int(found.get("epoch", 0)) == job.epoch
    assert int(found.get("resubmits", 0)) == job.resubmits
    assert int(found.get("lost", 0)) == job.lost
    assert int(found.get("refusals", 0)) == job.refusals
    assert ("cancel_wished_at" in found) == job.wished
    assert ("late" in found) == job.late
    watch = found.get("watch_until")
    assert (watch and int(watch)) == job.watch_until
    if not job.final:
        assert ("evidence" in found) == job.evidence
    if job.state == "submitting":
        assert ("released_at" in found) == job.this.released


def _check_place(dump: Dump, job: ModelJob) -> None:
    """A job that is not final is somewhere, so that somebody will take it up; a final one holds nothing."""
    lanes, ticket = dump.role(Role.SUBMIT), f"{job.tenant}|{job.name}"
    places = [ticket in lanes.slots, ticket in lanes.in_lanes, ticket in lanes.due]
    if job.state == "queued":
        assert sum(places) == 1, f"a queued job is in {sum(places)} places"
    elif job.state == "submitting":
        assert places == [True, False, False]
        assert ticket in lanes.holders
    elif job.kept_until is not None:
        assert places == [True, False, False], "a task may be at work, and fills no slot"
        assert lanes.slots[ticket] == job.kept_until
    elif job.final or job.idle:
        assert not any(places), f"{job.state}: holds a place"
    else:
        assert places == [True, False, False], f"{job.state}: the upstream's task fills no slot"
    if job.state in ("submitted", "unknown"):
        confirm = dump.role(Role.CONFIRM)
        look = f"{dump.hash(f'job:{job.name}').get('account', 'main')}|{job.name}"
        waits = look in confirm.due or look in confirm.in_lanes or look in confirm.slots
        assert waits, f"nobody will poll a job that is {job.state}"


def _check_audit(audit: list[dict[str, str]], job: ModelJob) -> None:
    """The states that it went through, as its own stream shows: by rows of the table, up, to one end."""
    ends, state = 0, "queued"
    for entry in audit:
        if "to" not in entry:
            continue
        before = entry.get("from", state)
        if entry["event"] in ("accepted", "rebuilt"):
            state = entry["to"]
            continue
        assert before == state, "the stream leaves out a move"
        state = entry["to"]
        assert state in {row.value for row in JOB_TRANSITIONS[JobState(before)].values()}
        assert RANK[state] >= RANK[before], f"{entry['event']}: the public status fell"
        ends += state in FINAL and before != state
        assert before not in FINAL or state == before, "a final state changed"
    assert state == job.state
    assert ends == (1 if job.final else 0)


def _check_told(dump: Dump, job: ModelJob) -> None:
    """Each event once, and owed once to each endpoint that wants it."""
    stem = job.name.removeprefix("job_")
    kinds = {
        kind for kind in EventType if f"{{gw}}:event:evt_{stem}_{kind.removeprefix('job.')}" in dump.keys
    }
    steps = kinds - set(FINAL_TYPES)  # made a while after the step itself
    assert kinds - steps == set(job.told)
    assert len(set(job.told)) == len(job.told)
    owed = {f"dlv_{name}" for name in dump.keys.get(f"{{gw}}:job:{job.name}:deliveries", ())}
    wanted = set()
    for kind in (*job.told, *steps):
        names = [
            name.removeprefix("ep_")
            for name, events in ENDPOINTS.get(job.tenant, {}).items()
            if kind in events
        ]
        names += ["callback"] if job.callback_url and kind not in steps else []
        wanted |= {f"dlv_{stem}_{kind.removeprefix('job.')}_{name}" for name in names}
    assert owed == wanted
    for name in owed:
        disabled = name.endswith("_DISABLED")
        state = dump.hash(f"delivery:{name}")["state"]
        assert state in (("held",) if disabled else ("pending", "delivered"))


def _check_indexes(dump: Dump, model: Model) -> None:
    recount = Counter(f"job:{job.state}" for job in model.jobs.values())
    recount.update(f"delivery:{found['state']}" for found in dump.records("delivery").values())
    assert {name: int(n) for name, n in dump.hash("counts").items() if n != "0"} == dict(recount)
    for tenant in {job.tenant for job in model.jobs.values()}:
        for state in JobState:
            listed = set(dump.zset(f"tenant:{tenant}:jobs:{state}"))
            mine = {j.name for j in model.jobs.values() if (j.tenant, j.state) == (tenant, state)}
            assert listed == mine, f"the index of {tenant}'s {state}"
    unfinished = {name for name, job in model.jobs.items() if not job.final and job.start_by is not None}
    assert set(dump.zset("deadlines")) == unfinished
    assert set(dump.zset("finished")) == {name for name, job in model.jobs.items() if job.final}
    assert set(dump.zset("unknowns")) == {n for n, job in model.jobs.items() if job.state == "unknown"}


def _check_usage(dump: Dump, records: Mapping[str, Mapping[str, str]]) -> None:
    """What counts for a tenant is what the records of its jobs and endpoints say."""
    taken: dict[str, Counter[str]] = {}
    for found in [*records.values(), *dump.records("endpoint").values()]:
        of_tenant = taken.setdefault(found["tenant"], Counter())
        for field in ("bytes", "media", "event_bytes"):
            of_tenant[field] += int(found.get(field, 0))
        of_tenant["unfinished"] += "event_bytes" in found
    wanted = {tenant: {name: n for name, n in of.items() if n} for tenant, of in taken.items()}
    caused = {"events_per_job", "deliveries_per_job"}
    usage = {
        key.split(":")[2]: {name: int(n) for name, n in found.items() if name not in caused}
        for key, found in dump.keys.items()
        if key.endswith(":usage")
    }
    assert {tenant: of for tenant, of in usage.items() if of} == {t: of for t, of in wanted.items() if of}


def _check_tasks(dump: Dump, model: Model) -> None:
    """A task is one job's, and its job's record names it."""
    bound = dump.texts("task")
    assert bound == {task: job.name if job else "-" for task, job in model.tasks.items()}
    for name, job in model.jobs.items():
        record = dump.hash(f"job:{name}")
        named = [record["task_id"]] if "task_id" in record else []
        named += _listed(record.get("earlier", "[]"))
        assert named == job.tasks, f"{name} names {named}, its tasks are {job.tasks}"


def _listed(text: str) -> list[str]:
    return [part.strip('"') for part in text.strip("[]{}").split(",") if part]


_ALL = frozenset(EventType)
#: Of the tenants: endpoint -> the events that it wants.
ENDPOINTS: Mapping[str, Mapping[str, frozenset[EventType]]] = {
    "acme": {
        "ep_ALL": _ALL,
        "ep_FAILURES": frozenset({EventType.FAILED}),
        "ep_DISABLED": _ALL,
    }
}
