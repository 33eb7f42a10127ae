"""What all tenants spent and which budgets will not last, summed up once a minute for metrics and alarms.

One process reads all balances and writes the summary; every gateway reads only that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from gateway.money.budgets import Period
from gateway.store import balances, keys
from gateway.store.balances import Balance, BudgetState, RedisBalances
from gateway.store.client import store_errors
from gateway.store.ledger_check import Checked, LedgerCheck

#: Tenants that have metrics of their own: those that were charged most.
MOST_TENANTS: Final = 20
#: Budgets that are named.
MOST_BUDGETS: Final = 20
#: A budget that is used less than this far is no cause for concern yet, however fast it went.
_ENOUGH: Final = 0.5
#: A budget without an end is soon spent when it is used so far.
_NEARLY: Final = 0.8


@dataclass(frozen=True, slots=True)
class TenantSpend:
    """Since the first job, in micro-units. `tenant`: "": all others."""

    tenant: str
    reserved: int = 0
    charged: int = 0
    suspense: int = 0
    wasted: int = 0


@dataclass(frozen=True, slots=True)
class SoonSpent:
    """A budget that will be spent before its period ends. `at`: when, in ms; None: it has no end."""

    tenant: str
    key: str | None
    period: str
    limit: int
    used: int
    at: int | None


@dataclass(frozen=True, slots=True)
class Spend:
    """`tenants`: those that were charged most, then all others. `soon`: the first of `soon_total`. Of the
    jobs of today and yesterday: `charged`, and `dearer`, as of a balance."""

    at: int
    tenants: list[TenantSpend] = field(default_factory=list)
    soon: list[SoonSpent] = field(default_factory=list)
    soon_total: int = 0
    charged: int = 0
    dearer: int = 0

    @property
    def drift(self) -> float:
        """By which part costs were above their estimates."""
        return self.dearer / max(1, self.charged - self.dearer)

    def dump(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Spend:
        found: dict[str, Any] = orjson.loads(text)
        tenants = [TenantSpend(**one) for one in found.pop("tenants")]
        return cls(tenants=tenants, soon=[SoonSpent(**one) for one in found.pop("soon")], **found)


@dataclass(frozen=True, slots=True)
class LastCheck:
    """The last comparison of the balances with the ledger. `at`: ms."""

    at: int
    different: int


@dataclass(frozen=True, slots=True)
class MoneyGauges:
    """`spend`, `check`: None: not yet; the last check was `checked_seconds` ago. `suspended`: jobs with money
    in suspense, the first of them since `suspense_seconds`."""

    spend: Spend | None = None
    check: LastCheck | None = None
    suspended: int = 0
    suspense_seconds: float = 0.0
    checked_seconds: float = 0.0


def ask_money(pipe: Pipeline) -> None:
    """Puts the commands into the pipeline whose replies `money_gauges` takes."""
    pipe.mget(keys.SPEND, keys.LEDGER_CHECKED)
    pipe.zcard(keys.SUSPENSE)
    pipe.zrange(keys.SUSPENSE, 0, 0, withscores=True)


#: How many replies that are.
MONEY_REPLIES: Final = 3


def money_gauges(now_ms: float, replies: Sequence[Any]) -> MoneyGauges:
    (spend, found), suspended, oldest = replies
    check = None if found is None else LastCheck(**orjson.loads(found))
    return MoneyGauges(
        None if spend is None else Spend.load(spend),
        check,
        suspended,
        max(0.0, now_ms - oldest[0][1]) / 1000 if oldest else 0.0,
        max(0.0, now_ms - check.at) / 1000 if check else 0.0,
    )


class RedisSpend:
    """Every call may raise StoreUnavailable."""

    def __init__(self, redis: Redis, balances: RedisBalances, check: LedgerCheck) -> None:
        self._redis = redis
        self._balances = balances
        self._check = check

    async def read(self) -> MoneyGauges:
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                ask_money(pipe)
                (seconds, _), *replies = await pipe.execute()
        return money_gauges(seconds * 1000, replies)

    async def sum_up(self) -> Spend:
        """Writes the summary, and returns it."""
        tenants = await self._balances.tenants()
        with store_errors():
            seconds, _ = await self._redis.time()
        totals = await self._balances.totals(tenants)
        budgets = await self._balances.budgets(tenants)
        now = seconds * 1000
        today = datetime.fromtimestamp(seconds, UTC).date()
        recent, some = Balance(), balances.MOST_READS // 2  # as many tenants as one report of two days takes
        for at in range(0, len(tenants), some):
            batch = tenants[at : at + some]
            lines = await self._balances.usage(batch, today - timedelta(1), today, ())
            recent = sum((line.balance for line in lines), recent)
        soon = sorted(filter(None, (soon_spent(one, now) for one in budgets)), key=lambda one: -one.used)
        found = Spend(now, _biggest(totals), soon[:MOST_BUDGETS], len(soon), recent.charged, recent.dearer)
        with store_errors():
            await self._redis.set(keys.SPEND, found.dump())
        return found

    async def check(self, today: date) -> Checked:
        """Compares the balances of today and yesterday with the ledger, and writes down how many differ. May
        raise MediaStoreUnavailable."""
        found = await self._check.run(today - timedelta(1), today)
        with store_errors():
            seconds, _ = await self._redis.time()
            noted = LastCheck(seconds * 1000, found.different)
            await self._redis.set(keys.LEDGER_CHECKED, orjson.dumps(asdict(noted)))
        return found


def soon_spent(state: BudgetState, now_ms: int) -> SoonSpent | None:
    """The budget, if it is spent, or will be before its period ends if the tenant goes on as before."""
    used, limit = state.balance.used, state.budget.limit
    if used <= 0:  # a budget of 0 forbids; while nothing is used, it is what its operator wants
        return None
    at: int | None = None
    if state.period is Period.TOTAL or state.until is None:
        soon = used >= _NEARLY * limit
    else:
        soon = used >= limit or (used >= _ENOUGH * limit and used > state.share * limit)
        passed = state.share * (state.until - now_ms) / (1 - state.share)  # of the period, in ms
        at = now_ms + max(0, int(passed * (limit / used - 1))) if soon else now_ms
    return SoonSpent(state.tenant, state.key, state.period, limit, used, at) if soon else None


def _biggest(totals: Mapping[str, Balance]) -> list[TenantSpend]:
    order = sorted(totals.items(), key=lambda one: (-one[1].charged, -one[1].used, one[0]))
    others = sum((balance for _, balance in order[MOST_TENANTS:]), Balance())
    named: Sequence[tuple[str, Balance]] = order[:MOST_TENANTS]
    if others != Balance():
        named = [*named, ("", others)]
    return [
        TenantSpend(tenant, of.reserved, of.charged, of.suspense, of.wasted)
        for tenant, of in named
        if of != Balance()
    ]
