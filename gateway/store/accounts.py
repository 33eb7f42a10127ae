"""The upstream's accounts on Redis: how many tasks each may hold now, and whether it is paused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.dispatch import ACCOUNT, AccountLimits, Role
from gateway.errors import NotFound
from gateway.store import arguments, keys
from gateway.store.base import Account, AccountState
from gateway.store.client import store_errors
from gateway.store.script_runner import Scripts
from gateway.telemetry.context import REQUEST


@dataclass(frozen=True, slots=True)
class Pause:
    """Why an account is paused. `by`: the id of an operator's key, or "upstream". `status`, `code`: the
    upstream's refusal, if there was one. `probe_at` (ms): when the next job may probe it, None for never."""

    by: str
    status: int | None
    code: str | None
    probe_at: int | None


def slots_left(slots: int, probe_ms: int, stored: int | None, cut_ms_ago: float) -> int:
    """How many tasks an account may hold now, computed as in scripts/lib/account_health.lua: the slots left
    by the last 429 (`stored`, None: all `slots`), plus one for each `probe_ms` since then."""
    if stored is None:
        return slots
    return min(slots, stored + math.floor(cut_ms_ago / probe_ms))


def slots_taken(name: str, held: int, taken: Mapping[str, str]) -> int:
    """How many slots of an account are taken. `held`: of all accounts; `taken`: of each except `main`, read a
    moment later."""
    return max(0, held - sum(map(int, taken.values()))) if name == ACCOUNT else int(taken.get(name, 0))


class RedisAccounts:
    """`limits`: the accounts in the settings, `main` first."""

    def __init__(self, redis: Redis, scripts: Scripts, roles: arguments.Roles) -> None:
        self._redis = redis
        self._scripts = scripts
        self._probe_ms = roles[Role.SUBMIT].probe_ms
        self.limits = roles[Role.SUBMIT].all_accounts
        self._dispatch = arguments.dump(arguments.limits_of(roles, Role.SUBMIT))

    async def read(self, name: str = ACCOUNT) -> tuple[Account, Pause | None]:
        """Raises NotFound for an account that is not in the settings."""
        for found in await self.all():
            if found[0].name == name:
                return found
        raise NotFound("account", name)

    async def all(self) -> list[tuple[Account, Pause | None]]:
        """All accounts in the order of `limits`, each with why it is paused (None: it is not)."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.zcard(keys.slots(Role.SUBMIT))
                pipe.hgetall(keys.ACCOUNT_INFLIGHT)
                pipe.exists(keys.PAUSED)
                for one in self.limits:
                    pipe.hgetall(keys.account(one.name))
                (seconds, microseconds), held, taken, stopped, *found = await pipe.execute()
        now = seconds * 1000 + microseconds // 1000
        return [
            self._account(one, fields, slots_taken(one.name, held, taken), now, stopped=bool(stopped))
            for one, fields in zip(self.limits, found, strict=True)
        ]

    async def pause(self, reason: str, by: str, name: str = ACCOUNT) -> None:
        """Sends nothing more with the account, not even a probe, until `resume`."""
        await self._run("park", by, reason, name)

    async def resume(self, by: str, name: str = ACCOUNT) -> None:
        """Sends waiting jobs again, no matter who paused the account."""
        await self._run("resume", by, "", name)

    async def _run(self, what: str, by: str, reason: str, name: str) -> None:
        args: list[str | bytes] = [what, by, reason, REQUEST.get(), self._dispatch, name]
        await self._scripts.run("account", [keys.account(name)], args)

    def _account(
        self, limits: AccountLimits, found: Mapping[str, str], in_flight: int, now: int, *, stopped: bool
    ) -> tuple[Account, Pause | None]:
        cut_ms_ago = now - int(found.get("cut_at", now))
        slots = slots_left(limits.slots, self._probe_ms, _integer(found.get("slots")), cut_ms_ago)
        parked_at, hold = _integer(found.get("parked_at")), _integer(found.get("hold_until"))
        held = hold is not None and hold > now
        account = Account(
            slots=slots,
            paused_at=parked_at,
            reason=found.get("reason"),
            hold_until=hold if held else None,
            in_flight=in_flight,
            name=limits.name,
            state=AccountState.of(
                paused=parked_at is not None, stopped=stopped, held=held, slowed=slots < limits.slots
            ),
        )
        return account, None if account.paused_at is None else self._pause(account.paused_at, found)

    def _pause(self, since: int, found: Mapping[str, str]) -> Pause:
        operator, refused = found.get("parked_by"), found.get("status", "0") != "0"
        return Pause(
            by=operator or "upstream",
            status=int(found["status"]) if refused else None,
            code=(found.get("code") or None) if refused else None,
            probe_at=None if operator else int(found.get("probe_at", since + self._probe_ms)),
        )


def _integer(text: str | None) -> int | None:
    return None if text is None else int(text)
