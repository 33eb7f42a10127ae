"""What tenants and their keys reserved and spent, by the day on which jobs were accepted; their budgets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple, Self

from redis.asyncio import Redis

from gateway.environment import Environment
from gateway.money.budgets import Budget, Period, budgets_in, period_names
from gateway.money.ledger import WHOLE
from gateway.store import keys
from gateway.store.client import store_errors

#: The name of the period without an end.
TOTAL: Final = "total"
#: Balances that one report may read.
MOST_READS: Final = 50_000
_AT_ONCE: Final = 500
_TENANTS_AT_ONCE: Final = 1000
_HELD_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Balance:
    """Of jobs that were accepted in a period. In micro-units: `reserved`; `charged`; `suspense`: of finished
    jobs whose outcome is not known; `wasted`: the part of `charged` for jobs that did not complete. Only in
    the balance of a day: `unsaid`: the part of `charged` that is an estimate, because the upstream said
    nothing; `dearer`, `cheaper`: how far what it said was above and below the estimates; and the number of
    jobs: accepted (`jobs`), and finished by outcome."""

    reserved: int = 0
    charged: int = 0
    suspense: int = 0
    wasted: int = 0
    unsaid: int = 0
    dearer: int = 0
    cheaper: int = 0
    jobs: int = 0
    completed: int = 0
    failed: int = 0
    canceled: int = 0

    @property
    def used(self) -> int:
        """What counts against a budget."""
        return self.reserved + self.charged + self.suspense

    @property
    def unfinished(self) -> int:
        return self.jobs - self.completed - self.failed - self.canceled

    def __add__(self, other: Balance) -> Balance:
        return Balance(*(getattr(self, name) + getattr(other, name) for name in FIELDS))

    @classmethod
    def load(cls, found: Sequence[str | None]) -> Self:
        """From the values of `FIELDS`."""
        return cls(*(int(text or 0) for text in found))


FIELDS: Final = tuple(field.name for field in fields(Balance))


class Group(NamedTuple):
    """What a line of a report is about; None: not told apart. `day`: such as 2026-12-01."""

    tenant: str | None
    day: str | None
    key: str | None


class Line(NamedTuple):
    group: Group
    balance: Balance


class TooMuch(ValueError):
    """The report would read more balances than one may."""


@dataclass(frozen=True, slots=True)
class BudgetState:
    """`key`: None: of the whole tenant. `name`: of the running period, such as 2026-12; `until`: when it
    ends, in ms, None: never. `share`: how much of the period has passed, 0 without an end."""

    tenant: str
    key: str | None
    period: Period
    name: str
    budget: Budget
    balance: Balance
    until: int | None
    share: float = 0.0

    @property
    def left(self) -> int:
        return max(0, self.budget.limit - self.balance.used)


class RedisBalances:
    """Every call may raise StoreUnavailable."""

    def __init__(self, redis: Redis, monotonic: Callable[[], float] | None = None) -> None:
        self._redis = redis
        self._monotonic = monotonic or Environment().monotonic
        self._held: tuple[float, object, list[Line]] = (-_HELD_SECONDS, None, [])

    async def tenants(self) -> list[str]:
        """The names of all tenants, in order. Raises TooMuch."""
        names: list[str] = []
        while True:
            first = f"({names[-1]}" if names else "-"
            with store_errors():
                found = await self._redis.zrangebylex(keys.TENANTS, first, "+", 0, _TENANTS_AT_ONCE)
            names += found
            if len(found) < _TENANTS_AT_ONCE:
                return names
            if len(names) > MOST_READS:
                raise TooMuch

    async def usage(
        self, tenants: Sequence[str], since: date, until: date, apart: Collection[str]
    ) -> list[Line]:
        """The balances of the days from `since` to `until`, both included, without empty ones. `apart`: what
        is told apart: `tenant`, `day`, `key`. Raises TooMuch."""
        wanted = [(tenant, day) for tenant in tenants for day in days(since, until)]
        if len(wanted) > MOST_READS:
            raise TooMuch
        sums: dict[Group, Balance] = {}
        for at in range(0, len(wanted), _AT_ONCE):
            batch = wanted[at : at + _AT_ONCE]
            found = await self._read(batch, by_key="key" in apart)
            for (tenant, day), balances in zip(batch, found, strict=True):
                for who, balance in balances.items():
                    group = Group(
                        tenant if "tenant" in apart else None,
                        day if "day" in apart else None,
                        who if "key" in apart else None,
                    )
                    sums[group] = sums.get(group, Balance()) + balance
        lines = [Line(group, balance) for group, balance in sums.items() if balance != Balance()]
        return sorted(lines, key=lambda line: tuple(part or "" for part in line.group))

    async def recent_usage(
        self, tenants: Sequence[str], since: date, until: date, apart: Collection[str]
    ) -> list[Line]:
        """The same, up to `_HELD_SECONDS` old if it is large: for pages, which ask again and again."""
        asked, now = (tuple(tenants), since, until, frozenset(apart)), self._monotonic()
        at, of, lines = self._held
        if of == asked and now - at < _HELD_SECONDS:
            return lines
        lines = await self.usage(tenants, since, until, apart)
        if len(tenants) * ((until - since).days + 1) > _AT_ONCE:
            self._held = now, asked, lines
        return lines

    async def _read(self, wanted: Sequence[tuple[str, str]], *, by_key: bool) -> list[dict[str, Balance]]:
        """For each tenant and period the balances by key, or only the whole."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for tenant, period in wanted:
                    if by_key:
                        pipe.hgetall(keys.balance(tenant, period))
                    else:
                        pipe.hmget(keys.balance(tenant, period), _names(WHOLE))
                found = await pipe.execute()
        if by_key:
            return [{who: one for who, one in balances_of(hash_).items() if who != WHOLE} for hash_ in found]
        return [{WHOLE: Balance.load(values)} for values in found]

    async def totals(self, tenants: Sequence[str]) -> dict[str, Balance]:
        """The balance of each tenant since its first job."""
        found: dict[str, Balance] = {}
        for at in range(0, len(tenants), _AT_ONCE):
            batch = [(tenant, TOTAL) for tenant in tenants[at : at + _AT_ONCE]]
            read = await self._read(batch, by_key=False)
            found |= {tenant: of[WHOLE] for (tenant, _), of in zip(batch, read, strict=True)}
        return found

    async def budgets(self, tenants: Sequence[str]) -> list[BudgetState]:
        """Every budget of these tenants and of their keys, in its running period."""
        found: list[BudgetState] = []
        for at in range(0, len(tenants), _AT_ONCE):
            found += await self._budgets(tenants[at : at + _AT_ONCE])
        return found

    async def _budgets(self, tenants: Sequence[str]) -> list[BudgetState]:
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                for tenant in tenants:
                    pipe.hgetall(keys.tenant_settings(tenant))
                (seconds, _), *settings = await pipe.execute()
            names = period_names(seconds * 1000)
            wanted = [
                (tenant, key, period, budget)
                for tenant, stored in zip(tenants, settings, strict=True)
                for key, of in budgets_in(stored).items()
                for period, budget in of.items()
            ]
            async with self._redis.pipeline(transaction=False) as pipe:
                for tenant, key, period, _ in wanted:
                    pipe.hmget(keys.balance(tenant, names[period]), _names(key or WHOLE))
                balances = await pipe.execute() if wanted else []
        return [
            BudgetState(
                tenant, key, period, names[period], budget, Balance.load(values), *_end(period, seconds)
            )
            for (tenant, key, period, budget), values in zip(wanted, balances, strict=True)
        ]


def balances_of(found: Mapping[str, str]) -> dict[str, Balance]:
    """The balances of a stored hash by whose they are: `WHOLE`, or the id of a key."""
    parts: dict[str, dict[str, int]] = {}
    for name, text in found.items():
        who, _, field = name.rpartition("|")
        if field in FIELDS:
            parts.setdefault(who, {})[field] = int(text)
    return {who: Balance(**values) for who, values in parts.items()}


def days(since: date, until: date) -> Iterator[str]:
    """The names of the days from `since` to `until`, both included."""
    for at in range((until - since).days + 1):
        yield (since + timedelta(at)).isoformat()


def first_of_next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(31)).replace(day=1)


def _names(who: str) -> list[str]:
    return [f"{who}|{field}" for field in FIELDS]


def _end(period: Period, seconds: int) -> tuple[int | None, float]:
    """When the running period ends, in ms, and how much of it has passed."""
    if period is Period.TOTAL:
        return None, 0.0
    day = datetime.fromtimestamp(seconds, UTC).date()
    start, end = day, day + timedelta(1)
    if period is Period.MONTH:
        start, end = day.replace(day=1), first_of_next_month(day)
    began, ends = (datetime(one.year, one.month, one.day, tzinfo=UTC).timestamp() for one in (start, end))
    return int(ends * 1000), (seconds - began) / (ends - began)
