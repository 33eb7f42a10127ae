"""What operators see and change: the upstream's accounts, a job's own story, what was noted or quarantined,
and what a tenant chose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.client import NEVER_DECODE

from gateway.context import REQUEST
from gateway.dispatch import ACCOUNT, PREFIX, AccountLimits, Role
from gateway.errors import NotFound
from gateway.jobs import Job
from gateway.lifecycle import OnUnknown
from gateway.store import arguments, keys
from gateway.store.base import Account
from gateway.store.client import store_errors
from gateway.store.job_history import audit_of
from gateway.store.script_runner import Scripts
from gateway.store.tenants import RedisTenants

EVENTS: Final = f"{PREFIX}ops:events"
QUARANTINE: Final = f"{PREFIX}quarantine"
UNKNOWNS: Final = f"{PREFIX}unknowns"
#: Of raw bytes in quarantine, how many are shown.
SHOWN_BYTES: Final = 2000
_NOBODY: Final = "-"  # as in records.lua


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of a stream, oldest first: `id` and its fields. `more` when newer ones follow."""

    rows: list[dict[str, str]]
    more: bool


@dataclass(frozen=True, slots=True)
class Parking:
    """Why an account is parked: `by` an operator (the id of the key) or "upstream"; `status`, `code`: the
    upstream's refusal, if there was one; `probe_at` (ms): when the next job may try, None for never."""

    by: str
    status: int | None
    code: str | None
    probe_at: int | None


@dataclass(frozen=True, slots=True)
class UnknownJob:
    """A job whose outcome is unknown. `since`: ms. `on_unknown`: what its owner chose, for it or for all;
    `evidence`: what proves that it was accepted."""

    job_id: str
    tenant: str
    epoch: int
    since: int
    on_unknown: OnUnknown | None
    evidence: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """All that is under way. `counts`: {"job:queued": n, "delivery:pending": n, ...}. `roles`: of each role
    what is in its lanes, due, due again, and held: slots, their holders, and their sum over lanes.
    `paused`: {"at" (ms), "by", "reason"} while nothing is sent to the upstream."""

    counts: dict[str, int]
    roles: dict[Role, dict[str, int]]
    unknown: int
    deadlines: int
    paused: dict[str, str] | None = None


def slots_left(slots: int, probe_ms: int, stored: int | None, cut_ms_ago: float) -> int:
    """How many tasks an account may hold now, as `slots_left` of scripts/upstream.lua has it: what a 429
    left (`stored`, None: all `slots`), and one more for each interval (`probe_ms`) since it."""
    if stored is None:
        return slots
    return min(slots, stored + math.floor(cut_ms_ago / probe_ms))


def seats_of(name: str, held: int, taken: Mapping[str, str]) -> int:
    """How many slots are taken of an account. `held`: of all; `taken`: of those that are not `main`."""
    return held - sum(map(int, taken.values())) if name == ACCOUNT else int(taken.get(name, 0))


class RedisOperatorStore:
    def __init__(self, redis: Redis, scripts: Scripts, roles: arguments.Roles) -> None:
        self._redis = redis
        self._scripts = scripts
        self._limits = roles[Role.SUBMIT]
        self.account_limits = self._limits.all_accounts
        self.tenants = RedisTenants(redis, scripts, roles)
        self._dispatch = arguments.dump(arguments.limits_of(roles, Role.SUBMIT))

    async def account(self, name: str = ACCOUNT) -> Account:
        account, _ = await self.account_and_parking(name)
        return account

    async def account_and_parking(self, name: str = ACCOUNT) -> tuple[Account, Parking | None]:
        """NotFound for a name that is not among the settings."""
        for found in await self.accounts():
            if found[0].name == name:
                return found
        raise NotFound("account", name)

    async def accounts(self) -> list[tuple[Account, Parking | None]]:
        """All that the settings name, `main` first, each with why it is parked, if it is."""
        limits = self.account_limits
        with store_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.time()
                pipe.zcard(keys.slots(Role.SUBMIT))
                pipe.hgetall(keys.SEATS)
                for one in limits:
                    pipe.hgetall(keys.account(one.name))
                (seconds, microseconds), held, taken, *found = await pipe.execute()
        now = seconds * 1000 + microseconds // 1000
        return [
            self._standing(one, fields, seats_of(one.name, held, taken), now)
            for one, fields in zip(limits, found, strict=True)
        ]

    def _standing(
        self, limits: AccountLimits, found: Mapping[str, str], in_flight: int, now: int
    ) -> tuple[Account, Parking | None]:
        cut_ms_ago = now - int(found.get("cut_at", now))
        account = Account(
            slots=slots_left(limits.slots, self._limits.probe_ms, _whole(found.get("slots")), cut_ms_ago),
            parked_at=_whole(found.get("parked_at")),
            reason=found.get("reason"),
            hold_until=_whole(found.get("hold_until")),
            in_flight=in_flight,
            name=limits.name,
        )
        return account, None if account.parked_at is None else self._parking(account.parked_at, found)

    def _parking(self, parked_at: int, found: Mapping[str, str]) -> Parking:
        operator, refused = found.get("parked_by"), found.get("status", "0") != "0"
        return Parking(
            by=operator or "upstream",
            status=int(found["status"]) if refused else None,
            code=(found.get("code") or None) if refused else None,
            probe_at=None if operator else int(found.get("probe_at", parked_at + self._limits.probe_ms)),
        )

    async def park(self, reason: str, by: str, name: str = ACCOUNT) -> None:
        """Nothing more is sent with the account, not even a probe, until `resume`."""
        await self._account("park", by, reason, name)

    async def resume(self, by: str, name: str = ACCOUNT) -> None:
        """What waits is sent again, whoever had parked the account."""
        await self._account("resume", by, "", name)

    async def _account(self, what: str, by: str, reason: str, name: str) -> None:
        args: list[str | bytes] = [what, by, reason, REQUEST.get(), self._dispatch, name]
        await self._scripts.run("account", [keys.account(name)], args)

    async def note(self, kind: str, *, by: str, **fields: str) -> None:
        """One more of the operators' acts, also among their events. `by`: the id of a key."""
        flat = [part for field in fields.items() for part in field]
        await self._scripts.run("note_audit", [EVENTS], [kind, by, REQUEST.get(), *flat])

    async def owner(self, task_id: str) -> str | None:
        """The job that the task belongs to; None also when two jobs' callbacks named it."""
        with store_errors():
            found: str | None = await self._redis.get(f"{PREFIX}task:{task_id}")
        return None if found == _NOBODY else found

    async def audit(self, job: Job) -> list[dict[str, str]]:
        """Everything that happened to the job, oldest first: at (ms), event, from, to, epoch, ..."""
        with store_errors():
            found: list[str] = await self._redis.lrange(keys.job_audit(job.id), 0, -1)  # type: ignore[misc]
        return audit_of(job.created_at, found)

    async def events(self, after: str | None, limit: int) -> Entries:
        """What operators should know, later than the entry `after`."""
        found = await self._read(EVENTS, after, limit)
        rows = [_given({"id": name, **fields}) for name, fields in found]
        return Entries(rows[:limit], more=len(rows) > limit)

    async def newest_events(self, before: str | None, limit: int) -> Entries:
        """The same, newest first, earlier than the entry `before`; `more` when older ones follow."""
        found = await newest(self._redis, EVENTS, before, limit + 1)
        rows = [_given({"id": name, **fields}) for name, fields in found]
        return Entries(rows[:limit], more=len(rows) > limit)

    async def quarantine(self, after: str | None, limit: int) -> Entries:
        """Callbacks that were genuine but could not be made sense of; `raw`: the start of the body, what is
        no text in it as escapes."""
        found = await self._read(QUARANTINE, after, limit, **{NEVER_DECODE: True})
        rows = [
            {"id": _text(name), **{_text(k): _text(v) for k, v in fields.items()}} for name, fields in found
        ]
        return Entries([_given(row) for row in rows[:limit]], more=len(rows) > limit)

    async def unknown(self, after: tuple[int, str] | None, limit: int) -> tuple[list[UnknownJob], bool]:
        """The jobs whose outcome is unknown, the longest first, and whether more follow. `after`: since when
        (ms) the last one of the page before is unknown, and its id; it need not be so any more."""
        since, last = after or (0, "")
        with store_errors():
            same = await self._redis.zcount(UNKNOWNS, since, since) if after else 0
            found = await self._redis.zrangebyscore(
                UNKNOWNS, since, "+inf", start=0, num=limit + 1 + same, withscores=True
            )
        later = [(int(at), name) for name, at in found if (int(at), name) > (since, last)]
        return await self._told(later[:limit]), len(later) > limit

    async def _told(self, found: list[tuple[int, str]]) -> list[UnknownJob]:
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for _, name in found:
                    pipe.hmget(keys.job(name), ["tenant", "epoch", "on_unknown", "evidence"])
                records = await pipe.execute()
            owners = sorted({tenant for tenant, *_ in records if tenant})
            async with self._redis.pipeline(transaction=False) as pipe:
                for tenant in owners:
                    pipe.hget(keys.tenant_settings(tenant), "on_unknown")
                chosen = dict(zip(owners, await pipe.execute(), strict=True))
        return [
            UnknownJob(name, tenant, int(epoch or 0), at, _policy(own or chosen[tenant]), evidence)
            for (at, name), (tenant, epoch, own, evidence) in zip(found, records, strict=True)
            if tenant
        ]

    async def state(self) -> Standing:
        with store_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hgetall(keys.COUNTS)
                pipe.zcard(UNKNOWNS)
                pipe.zcard(keys.DEADLINES)
                pipe.hgetall(keys.PAUSED)
                for role in Role:
                    pipe.zcard(keys.waiting(role))
                    pipe.zcard(keys.due(role))
                    pipe.scard(f"{PREFIX}{role}:again")
                    pipe.zcard(keys.slots(role))
                    pipe.hlen(f"{PREFIX}{role}:holders")
                    pipe.hvals(f"{PREFIX}{role}:inflight")
                replies = await pipe.execute()
        counts, unknown, deadlines, paused = replies[:4]
        roles = {}
        for at, role in enumerate(Role):
            waiting, due, again, slots, holders, inflight = replies[4 + 6 * at : 10 + 6 * at]
            roles[role] = {
                "waiting": waiting,
                "due": due,
                "again": again,
                "slots": slots,
                "holders": holders,
                "inflight": sum(map(int, inflight)),
            }
        return Standing(
            {name: int(n) for name, n in counts.items()}, roles, unknown, deadlines, paused or None
        )

    async def _read(self, stream: str, after: str | None, limit: int, **options: Any) -> Any:
        """One entry more than `limit`, when there is one."""
        first = f"({after}" if after else "-"
        with store_errors():
            return await self._redis.execute_command(  # type: ignore[no-untyped-call]
                "XRANGE", stream, first, "+", "COUNT", limit + 1, **options
            )


async def newest(
    redis: Redis, stream: str, before: str | None, most: int
) -> list[tuple[str, dict[str, str]]]:
    """Entries of the stream, newest first, earlier than the entry `before`."""
    if before is not None and not before.replace("-", "").strip("0"):
        return []  # Redis knows nothing before its first id, and says so by an error
    with store_errors():
        found: list[tuple[str, dict[str, str]]] = await redis.xrevrange(
            stream, f"({before}" if before else "+", "-", count=most
        )
    return found


def _given(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value != ""}


def _text(raw: bytes) -> str:
    return raw[:SHOWN_BYTES].decode(errors="backslashreplace")


def _policy(text: str | None) -> OnUnknown | None:
    return OnUnknown(text) if text else None


def _whole(text: str | None) -> int | None:
    return None if text is None else int(text)
