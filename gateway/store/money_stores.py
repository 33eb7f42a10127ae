"""Everything about money on Redis."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.environment import Environment
from gateway.media.base import MediaStore
from gateway.store.balances import RedisBalances
from gateway.store.charges import RedisCharges
from gateway.store.ledger import RedisLedger
from gateway.store.ledger_archive import LedgerArchive
from gateway.store.ledger_check import LedgerCheck
from gateway.store.prices import RedisPrices
from gateway.store.script_runner import Scripts
from gateway.store.spend import RedisSpend
from gateway.store.suspense import RedisSuspense


@dataclass(frozen=True, slots=True)
class MoneyStores:
    """In the order of `money_stores`."""

    prices: RedisPrices
    charges: RedisCharges
    balances: RedisBalances
    spend: RedisSpend
    suspense: RedisSuspense
    ledger: RedisLedger
    ledger_check: LedgerCheck
    ledger_archive: LedgerArchive


def money_stores(
    redis: Redis, scripts: Scripts, media: MediaStore, environment: Environment, ledger_days: int
) -> tuple[
    RedisPrices,
    RedisCharges,
    RedisBalances,
    RedisSpend,
    RedisSuspense,
    RedisLedger,
    LedgerCheck,
    LedgerArchive,
]:
    """`ledger_days`: how long the ledger is kept."""
    balances, ledger = RedisBalances(redis), RedisLedger(redis, scripts, media)
    check = LedgerCheck(redis, ledger)
    return (
        RedisPrices(redis, scripts),
        RedisCharges(scripts),
        balances,
        RedisSpend(redis, balances, check),
        RedisSuspense(redis),
        ledger,
        check,
        LedgerArchive(redis, scripts, media, environment, ledger_days),
    )
