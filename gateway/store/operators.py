"""What operators see and change: the upstream's account, a job's own story, what was noted or quarantined,
and what a tenant chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.client import NEVER_DECODE

from gateway.dispatch import ACCOUNT, PREFIX, Role
from gateway.store import keys, orders
from gateway.store.base import Account
from gateway.store.client import store_errors
from gateway.store.lua import Scripts
from gateway.store.tenant_settings import RedisTenantSettings

EVENTS: Final = f"{PREFIX}ops:events"
QUARANTINE: Final = f"{PREFIX}quarantine"
UNKNOWNS: Final = f"{PREFIX}unknowns"
#: Of raw bytes in quarantine, how many are shown.
SHOWN_BYTES: Final = 2000


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of a stream, oldest first: `id` and its fields. `more` when newer ones follow."""

    rows: list[dict[str, str]]
    more: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """All that is under way. `counts`: {"job:queued": n, "delivery:pending": n, ...}. `roles`: of each role
    what is in its lanes, due, due again, and held: slots, their holders, and their sum over lanes."""

    counts: dict[str, int]
    roles: dict[Role, dict[str, int]]
    unknown: int
    deadlines: int


def account_key() -> str:
    return f"{PREFIX}account:{ACCOUNT}"


class RedisOperatorStore:
    def __init__(self, redis: Redis, scripts: Scripts, roles: orders.Roles) -> None:
        self._redis = redis
        self._scripts = scripts
        self._slots = roles[Role.SUBMIT].slots
        self.tenants = RedisTenantSettings(redis, scripts)
        self._dispatch = orders.dump(orders.limits_of(roles, Role.SUBMIT))

    async def account(self) -> Account:
        with store_errors():
            found = await self._redis.hgetall(account_key())  # type: ignore[misc]
        return Account(
            slots=min(self._slots, int(found.get("slots", self._slots))),
            parked_at=_whole(found.get("parked_at")),
            reason=found.get("reason"),
            hold_until=_whole(found.get("hold_until")),
        )

    async def park(self, reason: str, by: str) -> None:
        """Nothing more is handed out for the upstream, not even a probe, until `resume`."""
        await self._scripts.run("account", [account_key()], ["park", by, reason, self._dispatch])

    async def resume(self, by: str) -> None:
        """What waits is sent again, whoever had parked the account."""
        await self._scripts.run("account", [account_key()], ["resume", by, "", self._dispatch])

    async def note(self, kind: str, **fields: str) -> None:
        """One more entry among the operators' events."""
        flat = [part for field in fields.items() for part in field]
        await self._scripts.run("tell", [f"{PREFIX}none"], ["{}", kind, *flat])

    async def owner(self, task_id: str) -> str | None:
        """The job that the task belongs to."""
        with store_errors():
            found: str | None = await self._redis.get(f"{PREFIX}task:{task_id}")
        return found

    async def audit(self, job_id: str) -> list[dict[str, str]]:
        """Everything that happened to the job, oldest first: at (ms), event, from, to, epoch, ..."""
        with store_errors():
            found = await self._redis.xrange(f"{keys.job(job_id)}:events")
        return [_given(fields) for _, fields in found]

    async def events(self, after: str | None, limit: int) -> Entries:
        """What operators should know, later than the entry `after`."""
        found = await self._read(EVENTS, after, limit)
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

    async def state(self) -> Standing:
        with store_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hgetall(keys.COUNTS)
                pipe.zcard(UNKNOWNS)
                pipe.zcard(keys.DEADLINES)
                for role in Role:
                    pipe.zcard(keys.waiting(role))
                    pipe.zcard(keys.due(role))
                    pipe.scard(f"{PREFIX}{role}:again")
                    pipe.zcard(keys.slots(role))
                    pipe.hlen(f"{PREFIX}{role}:holders")
                    pipe.hvals(f"{PREFIX}{role}:inflight")
                replies = await pipe.execute()
        counts, unknown, deadlines = replies[:3]
        roles = {}
        for at, role in enumerate(Role):
            waiting, due, again, slots, holders, inflight = replies[3 + 6 * at : 9 + 6 * at]
            roles[role] = {
                "waiting": waiting,
                "due": due,
                "again": again,
                "slots": slots,
                "holders": holders,
                "inflight": sum(map(int, inflight)),
            }
        return Standing({name: int(n) for name, n in counts.items()}, roles, unknown, deadlines)

    async def _read(self, stream: str, after: str | None, limit: int, **options: Any) -> Any:
        """One entry more than `limit`, when there is one."""
        first = f"({after}" if after else "-"
        with store_errors():
            return await self._redis.execute_command(  # type: ignore[no-untyped-call]
                "XRANGE", stream, first, "+", "COUNT", limit + 1, **options
            )


def _given(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value != ""}


def _text(raw: bytes) -> str:
    return raw[:SHOWN_BYTES].decode(errors="backslashreplace")


def _whole(text: str | None) -> int | None:
    return None if text is None else int(text)
