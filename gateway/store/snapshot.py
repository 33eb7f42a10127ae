"""The state for metrics and operators: depths, ages, slots and counts, read in one round trip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from gateway.dispatch import PREFIX, Role, RoleLimits
from gateway.store import keys
from gateway.store.account_gauges import ACCOUNT_FIELDS, AccountGauges, account_gauges
from gateway.store.asset_gauges import AssetGauges, asset_gauges
from gateway.store.client import store_errors
from gateway.store.finished_walk import FinishedWalk
from gateway.store.histograms import Timing, timings_of
from gateway.store.memory_watermark import ratio_of
from gateway.store.prices import PriceGauges, price_gauges
from gateway.store.spend import MONEY_REPLIES, MoneyGauges, ask_money, money_gauges
from gateway.store.workers import GONE_MS, SILENT_MS

_MOST_WORKERS: Final = 1000
_DELIVERIES_READ: Final = 200  # of the longest waiting deliveries, to find one in a lane that is not paused


@dataclass(frozen=True, slots=True)
class RoleGauges:
    """`waiting`: tickets in lanes; `oldest_seconds`: the longest wait among them, in `oldest_lane`; `due`:
    tickets that enter a lane later (`overdue_seconds`: how late the earliest is); `slots`: held now
    (`lease_overdue_seconds`: how long ago the earliest lease ran out)."""

    waiting: int
    oldest_seconds: float
    due: int
    overdue_seconds: float
    slots: int
    lease_overdue_seconds: float
    oldest_lane: str | None = None


@dataclass(frozen=True, slots=True)
class Gauges:
    """`counts`: {"job:queued": n, "delivery:pending": n, ...}; `tally`: {"name|label": n, ...};
    `sweep_age_seconds`: since the last sweep; `callback_path_age_seconds`: since the last proof that
    callbacks reach us (both None if never); `callback_path_unproven_seconds`: since the first probe, while
    none has ever arrived, else None. `accounts`: those in the settings.
    `unknown_oldest_seconds`: the longest time that a job has been unknown. `paused_lanes`: paused lanes of
    subscribers; `due_seconds`: the longest wait of a delivery in a lane that is not paused, among the longest
    200. `memory_ratio`: used share of Redis' maxmemory, 0 without a limit. `workers`: processes with a recent
    heartbeat; `silent_workers`: those without, in the last minute; `failing_subscribers`: those whose last
    attempt failed; `paused`: an operator paused the service; `read_seconds`: how long this reading took;
    `now`: Redis' clock, seconds since 1970. `unknown_statuses`: {word for a task's state that nobody knows:
    seconds since it was last seen}. `unsafe_failover_seconds`: since the last failover of the store, if it
    may have lost acknowledged writes; None if there was none. `on_hold`: nothing is submitted after it.
    `archive_lag_seconds`: how long the oldest job that is to be archived is due; None if none are.
    `prices`: with which ones gateway processes work."""

    counts: dict[str, int]
    tally: dict[str, int]
    roles: dict[Role, RoleGauges]
    sweep_age_seconds: float | None
    accounts: tuple[AccountGauges, ...]
    callback_path_age_seconds: float | None
    callback_path_unproven_seconds: float | None
    unknown_oldest_seconds: float
    memory_ratio: float
    paused_lanes: int
    workers: int = 0
    silent_workers: int = 0
    failing_subscribers: int = 0
    paused: bool = False
    read_seconds: float = 0.0
    now: float = 0.0
    memory_bytes: int = 0
    redis_version: str = ""
    timings: dict[str, Timing] = field(default_factory=dict)
    due_seconds: float = 0.0
    unknown_statuses: dict[str, float] = field(default_factory=dict)
    unsafe_failover_seconds: float | None = None
    on_hold: bool = False
    archive_lag_seconds: float | None = None
    assets: AssetGauges = field(default_factory=AssetGauges)
    money: MoneyGauges = field(default_factory=MoneyGauges)
    prices: PriceGauges = field(default_factory=PriceGauges)


@dataclass(frozen=True, slots=True)
class WorkInProgress:
    """All work in progress. `counts`: {"job:queued": n, "delivery:pending": n, ...}. `roles`: for each role
    the tickets that wait, are due, are due again, the slots held, their holders, and the sum of slots over
    lanes. `paused`: {"at" (ms), "by", "reason"} while the service is paused."""

    counts: dict[str, int]
    roles: dict[Role, dict[str, int]]
    unknown: int
    deadlines: int
    paused: dict[str, str] | None = None


class RedisGauges:
    def __init__(
        self,
        redis: Redis,
        monotonic: Callable[[], float],
        submit: RoleLimits,
        dying_ms: int = 900_000,
        archiving: FinishedWalk | None = None,
    ) -> None:
        self._redis, self._dying_ms = redis, dying_ms  # as of `asset_gauges`
        self._monotonic, self._submit = monotonic, submit
        self._archiving = archiving  # None: jobs are not archived

    def _ask(self, pipe: Pipeline) -> None:
        """Puts the commands into the pipeline, in the order in which `read` names their replies."""
        pipe.time()
        pipe.hgetall(keys.COUNTS)
        pipe.hgetall(keys.TALLY)
        pipe.get(keys.SWEPT)
        pipe.hgetall(keys.ACCOUNT_INFLIGHT)
        pipe.hmget(keys.CALLBACK_PATH, ["last", "probed_at"])
        pipe.zrange(keys.UNKNOWNS, 0, 0, withscores=True)
        pipe.info("memory")
        pipe.zcard(keys.paused_lanes(Role.DELIVER))
        pipe.zrevrange(keys.WORKERS, 0, _MOST_WORKERS, withscores=True)
        pipe.exists(keys.PAUSED)
        pipe.info("server")
        pipe.hgetall(keys.TIMINGS)
        pipe.zrange(keys.waiting(Role.DELIVER), 0, _DELIVERIES_READ - 1, withscores=True)
        pipe.zrevrange(keys.UNKNOWN_STATUSES, 0, -1, withscores=True)
        pipe.zcard(keys.FAILING)
        pipe.hmget(keys.PRIMARY, ["failed_over_at", "acknowledged", "on_hold"])
        pipe.hgetall(keys.PRICE_BOOKS)
        ask_money(pipe)
        for account in self._submit.all_accounts:
            pipe.hmget(keys.account(account.name), ACCOUNT_FIELDS)
        for role in Role:
            for index in (keys.waiting(role), keys.due(role), keys.slots(role)):
                pipe.zcard(index)
                pipe.zrange(index, 0, 0, withscores=True)

    async def _replies(self) -> tuple[list[Any], float]:
        """All replies, and how many seconds they took."""
        began = self._monotonic()
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                self._ask(pipe)
                return await pipe.execute(), self._monotonic() - began

    async def read(self) -> Gauges:
        accounts, (replies, took) = self._submit.all_accounts, await self._replies()
        (
            (seconds, microseconds),
            counts,
            tally,
            swept,
            taken,
            path,
            unknown,
            memory,
            paused_lanes,
            workers,
            paused,
            server,
            timings,
            longest,
            words,
            failing,
            (failed_over_at, acknowledged, on_hold),
            price_books,
            *others,
        ) = replies
        now = (seconds + microseconds / 1e6) * 1000
        money, others = others[:MONEY_REPLIES], others[MONEY_REPLIES:]
        longest = await self._sendable(longest) if paused_lanes and longest else longest
        roles = _roles(now, others[len(accounts) :])
        return Gauges(
            counts=_numbers(counts),
            tally=_numbers(tally),
            roles=roles,
            sweep_age_seconds=_since(now, swept),
            accounts=account_gauges(
                self._submit, now, others[: len(accounts)], roles[Role.SUBMIT].slots, taken
            ),
            callback_path_age_seconds=_since(now, path[0]),
            callback_path_unproven_seconds=None if path[0] else _since(now, path[1]),
            unknown_oldest_seconds=_age(now, unknown),
            memory_ratio=ratio_of(memory) or 0.0,
            paused_lanes=paused_lanes,
            workers=sum(now - at < SILENT_MS for _, at in workers),
            silent_workers=sum(SILENT_MS <= now - at < GONE_MS for _, at in workers),
            failing_subscribers=failing,
            unsafe_failover_seconds=None if acknowledged == "1" else _since(now, failed_over_at),
            on_hold=on_hold == "1",
            paused=bool(paused),
            read_seconds=took,
            now=now / 1000,
            memory_bytes=int(memory["used_memory"]),
            timings=timings_of(timings),
            due_seconds=_age(now, longest),
            unknown_statuses={word: _age(now, [(word, at)]) for word, at in words},
            archive_lag_seconds=await self._archiving.lag_seconds() if self._archiving else None,
            assets=await asset_gauges(self._redis, _numbers(counts), now, self._dying_ms),
            money=money_gauges(now, money),
            prices=price_gauges(price_books, now),
            redis_version=str(server.get("valkey_version") or server["redis_version"]),
        )

    async def work_in_progress(self) -> WorkInProgress:
        """The work in progress of all processes, each figure as it is when it is read."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hgetall(keys.COUNTS)
                pipe.zcard(keys.UNKNOWNS)
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
        return WorkInProgress(
            {name: int(n) for name, n in counts.items()}, roles, unknown, deadlines, paused or None
        )

    async def _sendable(self, longest: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
        """Those of these tickets whose lanes are not paused."""
        lanes = [ticket.partition("|")[0] for ticket, _ in longest]
        with store_errors():
            until = await self._redis.zmscore(keys.paused_lanes(Role.DELIVER), lanes)
        return [one for one, paused_until in zip(longest, until, strict=True) if paused_until is None]

    async def ping(self) -> None:
        """Raises StoreUnavailable when Redis does not answer or accepts no writes."""
        with store_errors():
            # The key never exists. A delete is a write that even a full Redis, which still drains, accepts.
            await self._redis.delete(f"{keys.SWEEP}:probe")


def _roles(now_ms: float, replies: Sequence[Any]) -> dict[Role, RoleGauges]:
    roles = {}
    for at, role in enumerate(Role):
        waiting, oldest, due, earliest, slots, lease = replies[6 * at : 6 * at + 6]
        roles[role] = RoleGauges(
            waiting,
            _age(now_ms, oldest),
            due,
            _age(now_ms, earliest),
            slots,
            _age(now_ms, lease),
            oldest[0][0].partition("|")[0] if oldest else None,
        )
    return roles


def _since(now_ms: float, at: str | None) -> float | None:
    return None if at is None else _age(now_ms, [("", float(at))])


def _age(now_ms: float, head: list[tuple[str, float]]) -> float:
    return max(0.0, now_ms - head[0][1]) / 1000 if head else 0.0


def _numbers(fields: dict[str, str]) -> dict[str, int]:
    return {name: int(value) for name, value in fields.items()}
