"""Compares the balances with what the ledger says, while jobs go on: each comparison is of one moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from redis.asyncio import Redis

from gateway.money import ledger as money
from gateway.store import keys
from gateway.store.balances import RedisBalances, days, first_of_next_month
from gateway.store.ledger import RedisLedger
from gateway.store.ledger_parts import Stored

#: How many days ago the first day of a check may be: it reads every entry since.
MOST_DAYS: Final = 100
#: Differences that are shown.
MOST_SHOWN: Final = 100
_AT_ONCE: Final = 200
_MOST_ENTRIES: Final = 1_000_000  # that are written meanwhile
#: What entries say about; the other fields of a balance count jobs.
COMPARED: Final = ("reserved", "charged", "suspense", "wasted")


@dataclass(frozen=True, slots=True)
class Difference:
    """`key`: None: of the whole tenant. `period`: a day, or a month. In micro-units."""

    tenant: str
    key: str | None
    period: str
    field: str
    ledger: int
    balance: int


@dataclass(frozen=True, slots=True)
class Checked:
    """`differences`: the first of them; `different`: how many there are."""

    since: date
    until: date
    entries: int
    balances: int
    different: int
    differences: list[Difference]


class LedgerCheck:
    """Every call may raise StoreUnavailable and MediaStoreUnavailable."""

    def __init__(self, redis: Redis, ledger: RedisLedger) -> None:
        self._redis = redis
        self._ledger = ledger

    async def run(self, since: date, until: date) -> Checked:
        """Of all jobs that were accepted from `since` to `until`, both included; those before the first day
        that is kept are left out."""
        today, kept = await self._ledger.today(), await self._ledger.since()
        since = max(since, kept or since)
        until = min(until, today)
        wanted = set(days(since, until))
        found = _Recomputed(wanted)
        for day in days(since, today):  # a job may end long after its day
            found.cursors[day] = "-"
            async for batch in self._ledger.of_day(day):
                found.add(batch)
                found.cursors[day] = f"({batch[-1][0]}"
                await asyncio.sleep(0)  # many batches may come from memory, and others want to go on
        periods = _names(since, until, today)
        open_days = [today.isoformat(), (today + timedelta(1)).isoformat()]
        tenants, differences, number = await RedisBalances(self._redis).tenants(), list[Difference](), 0
        for tenant in tenants:
            for at in range(0, len(periods), _AT_ONCE):
                some = periods[at : at + _AT_ONCE]
                balances = await self._read(tenant, some, open_days, found)
                number += sum(map(bool, balances.values()))
                differences += found.differences(tenant, balances)
        return Checked(since, until, found.entries, number, len(differences), differences[:MOST_SHOWN])

    async def _read(
        self, tenant: str, periods: Sequence[str], open_days: Sequence[str], found: _Recomputed
    ) -> dict[str, Mapping[str, str]]:
        """The balances, and the entries that were written up to the same moment."""
        cursors = {day: found.cursors.get(day, "-") for day in open_days}
        names = [keys.balance(tenant, period) for period in periods]
        _, read, balances = await self._ledger.at_once(cursors, _MOST_ENTRIES, names)
        for day, entries in zip(open_days, read, strict=True):
            if entries:
                found.add(entries)
                found.cursors[day] = f"({entries[-1][0]}"
        return dict(zip(periods, balances, strict=True))


class _Recomputed:
    """Sums of entries about jobs of the wanted days, by tenant, whose, period and field."""

    def __init__(self, wanted: set[str]) -> None:
        self._wanted = wanted
        self._of_tenant: dict[str, Counter[tuple[str, str, str]]] = {}
        self.cursors: dict[str, str] = {}
        self.entries = 0

    def add(self, entries: Sequence[Stored]) -> None:
        read = [money.load(name, fields) for name, fields in entries]
        found = money.recompute(one for one in read if one.period in self._wanted)
        self.entries += len(entries)
        for (tenant, whose, day, name), amount in found.items():
            sums = self._of_tenant.setdefault(tenant, Counter())
            for period in (day, day[:7]):
                sums[whose, period, name] += amount

    def differences(self, tenant: str, balances: Mapping[str, Mapping[str, str]]) -> list[Difference]:
        sums = self._of_tenant.get(tenant, Counter())
        names = {(who, period, field) for who, period, field in sums if period in balances}
        for period, stored in balances.items():
            for name in stored:
                who, _, field = name.rpartition("|")
                if field in COMPARED:
                    names.add((who, period, field))
        found = []
        for who, period, field in sorted(names):
            told, kept = sums[who, period, field], int(balances[period].get(f"{who}|{field}", 0))
            if told != kept:
                key = None if who == money.WHOLE else who
                found.append(Difference(tenant, key, period, field, told, kept))
        return found


def _names(since: date, until: date, today: date) -> list[str]:
    """The days, and the months that have no other days."""
    found, month = list(days(since, until)), since.replace(day=1)
    while month <= until:
        following = first_of_next_month(month)
        if month >= since and (until == today or following - timedelta(1) <= until):
            found.append(f"{month:%Y-%m}")
        month = following
    return found
