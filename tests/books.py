"""What the store says of money: balances and ledger, and whether they agree with the jobs' records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from gateway.dispatch import PREFIX
from gateway.money import ledger
from gateway.money.budgets import Budget, Period, period_names
from gateway.money.ledger import Balance, Entry, Sums
from gateway.store import keys

#: The figures that the ledger explains; the others count jobs.
AMOUNTS = ("reserved", "charged", "suspense", "wasted")
#: What one submission costs in tests.
PRICE = 275_000
PRICED: dict[str, Any] = {"key": "k1", "estimate": PRICE, "priced": "2026-12-01"}


async def entries(redis: Redis) -> list[Entry]:
    """Oldest first."""
    streams = [key async for key in redis.scan_iter(f"{PREFIX}ledger:2*")]
    return [
        ledger.load(name, fields) for stream in sorted(streams) for name, fields in await redis.xrange(stream)
    ]


async def balances(redis: Redis, *names: str) -> Sums:
    """All figures of these names in all periods."""
    stored = [key async for key in redis.scan_iter(f"{PREFIX}tenant:*:balance:*")]
    return figures({key: await redis.hgetall(key) for key in stored}, *names)  # type: ignore[misc]


def figures(stored: Mapping[str, Mapping[str, str]], *names: str) -> Sums:
    """The figures of these names in hashes of balances."""
    found: Sums = Counter()
    for key, fields in stored.items():
        _, _, tenant, _, period = key.split(":")
        for field, value in fields.items():
            whose, _, name = field.partition("|")
            if name in (names or AMOUNTS):
                found[Balance(tenant, whose, period, name)] = int(value)
    return found


async def today(redis: Redis) -> dict[Period, str]:
    seconds, _ = await redis.time()
    return period_names(seconds * 1000)


async def amounts(redis: Redis, tenant: str = "acme", whose: str = ledger.WHOLE) -> dict[str, int]:
    """The figures in the total that are not 0."""
    found = await balances(redis)
    return {
        one.name: amount
        for one, amount in found.items()
        if (one.tenant, one.whose, one.period) == (tenant, whose, "total") and amount
    }


async def set_budget(
    redis: Redis, limit: int, period: str = "day", *, tenant: str = "acme", key: str = "", hard: bool = True
) -> None:
    field = f"budget_{period}:{key}" if key else f"budget_{period}"
    await redis.hset(keys.tenant_settings(tenant), field, Budget(limit, hard).dump())  # type: ignore[misc]


def disagreements(
    records: Sequence[Mapping[str, str]],
    found: Sums,
    written: Sequence[Entry],
    suspended: set[str],
    *,
    all_there: bool = True,
) -> list[str]:
    """Every way in which records, balances and ledger do not agree. `records`: of all jobs, with `id`.
    `all_there`: no job was forgotten; what is charged for those is only in the balances."""
    compared = ("reserved", "charged", "suspense") if all_there else ("reserved", "suspense")
    wrong = []
    stored = {balance: amount for balance, amount in found.items() if amount}
    sums = _in_all_periods(ledger.recompute(written))
    computed = {balance: amount for balance, amount in sums.items() if amount}
    if computed != stored:
        wrong.append(f"the ledger says {computed}, and the balances {stored}")
    wrong += [f"{balance} is {amount}" for balance, amount in stored.items() if amount < 0]
    of_jobs: Counter[tuple[str, str]] = Counter()
    for record in records:
        for name in compared:
            of_jobs[record["tenant"], name] += int(record.get(name, 0))
        if ("suspense" in record) != (record["id"] in suspended):
            wrong.append(f"{record['id']} is in suspense and not in the list, or the other way round")
        if "reserved" in record and record["state"] in ("completed", "failed", "canceled"):
            wrong.append(f"{record['id']} is {record['state']} and has {record['reserved']} reserved")
    totals = {
        (one.tenant, one.name): amount
        for one, amount in stored.items()
        if (one.whose, one.period) == (ledger.WHOLE, "total") and one.name in compared
    }
    if totals != {name: amount for name, amount in of_jobs.items() if amount}:
        wrong.append(f"the records say {dict(of_jobs)}, and the balances {totals}")
    return wrong


async def check(redis: Redis) -> None:
    """Records, balances and ledger agree."""
    records = []
    async for key in redis.scan_iter(f"{PREFIX}job:job_*"):
        if key.count(":") == 2:
            found: dict[str, Any] = await redis.hgetall(key)  # type: ignore[misc]
            records.append({**found, "id": key.rpartition(":")[2]})
    suspended = set(await redis.zrange(keys.SUSPENSE, 0, -1))
    assert not disagreements(records, await balances(redis), await entries(redis), suspended)


def _in_all_periods(days: Mapping[Balance, int]) -> Sums:
    """The same for days, months and the total."""
    found: Sums = Counter()
    for balance, amount in days.items():
        for period in (balance.period, balance.period[:7], Period.TOTAL.value):
            found[balance._replace(period=period)] += amount
    return found
