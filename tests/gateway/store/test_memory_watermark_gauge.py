"""The admission watermark: above it nothing new is accepted, and no request asks Redis for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.errors import StoreFull
from gateway.local.valkey import valkey
from gateway.store import memory_watermark
from gateway.store.client import connection_pool
from gateway.store.memory_watermark import MemoryGauge, ratio_of


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Weighed(Redis):
    """A Redis whose memory a test sets: percent, reading by reading; None: it is away. The last one stays."""

    def __init__(self, *percents: int | None) -> None:
        super().__init__()
        self.percents = list(percents)
        self.limit = 100_000

    async def info(self, section: str | None = None, *_: object, **__: object) -> dict[str, int]:
        assert section == "memory"
        percent = self.percents.pop(0) if len(self.percents) > 1 else self.percents[0]
        if percent is None:
            raise ConnectionRefusedError
        return {"used_memory": percent * 1000, "maxmemory": self.limit, "mem_not_counted_for_evict": 0}


async def until(holds: Callable[[], bool]) -> None:
    """Waits for what the gauge's own task brings about."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def is_open(gauge: MemoryGauge) -> bool:
    try:
        gauge.check()
    except StoreFull:
        return False
    return True


@pytest.fixture
async def limited(redis: Redis) -> AsyncIterator[Redis]:
    before = (await redis.config_get("maxmemory"))["maxmemory"]
    yield redis
    await redis.config_set("maxmemory", before)


async def used(redis: Redis) -> int:
    return int((await redis.info("memory"))["used_memory"])


async def test_above_the_watermark_intake_is_closed_and_says_why(limited: Redis) -> None:
    gauge = MemoryGauge(limited, 0.85, Clock())
    await limited.config_set("maxmemory", int(await used(limited) / 0.95))
    await gauge.read()
    with pytest.raises(StoreFull) as refusal:
        gauge.check()
    assert refusal.value.ratio == pytest.approx(0.95, abs=0.1)
    assert refusal.value.retry_after_seconds == 30


async def test_below_the_watermark_intake_is_open(limited: Redis) -> None:
    gauge = MemoryGauge(limited, 0.85, Clock())
    await limited.config_set("maxmemory", await used(limited) * 2)
    await gauge.read()
    gauge.check()
    assert gauge.ratio == pytest.approx(0.5, abs=0.1)


async def test_without_a_limit_intake_is_never_closed(limited: Redis) -> None:
    gauge = MemoryGauge(limited, 0.01, Clock())
    await limited.config_set("maxmemory", 0)
    await gauge.read()
    gauge.check()
    assert gauge.ratio is None


async def test_before_the_first_reading_intake_is_open() -> None:
    MemoryGauge(Redis(), 0.85, Clock()).check()


async def test_what_waits_to_be_written_does_not_count_as_redis_does_not_count_it() -> None:
    assert ratio_of({"used_memory": 900, "mem_not_counted_for_evict": 100, "maxmemory": 1000}) == 0.8
    assert ratio_of({"used_memory": 900, "maxmemory": 1000}) == 0.9


async def test_intake_that_was_closed_opens_two_points_below_the_watermark() -> None:
    gauge = MemoryGauge(Weighed(85, 86, 85, 84, 83, 84, 85, 86), 0.85, Clock())
    seen = []
    for _ in range(8):
        await gauge.read()
        seen.append(is_open(gauge))
    assert seen == [True, False, False, False, True, True, True, False]


async def test_a_reading_that_is_too_old_closes_nothing() -> None:
    clock = Clock()
    gauge = MemoryGauge(Weighed(99), 0.85, clock)
    await gauge.read()
    assert not is_open(gauge)
    clock.seconds += 11
    assert is_open(gauge)
    assert gauge.ratio is None


async def test_it_reads_by_itself_through_an_outage_and_says_each_change_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_watermark, "_PAUSE_SECONDS", 0.001)
    redis = Weighed(90, 91, None, None, 92, 40, 41)
    with capture_logs() as logged:
        async with MemoryGauge(redis, 0.85, Clock()) as gauge:
            await until(lambda: redis.percents == [41] and gauge.ratio == 0.41)
    assert [line["event"] for line in logged] == [
        "intake_closed",
        "memory_unknown",
        "memory_known",
        "intake_open",
    ]


async def test_it_ends_with_its_block(redis: Redis) -> None:
    async with MemoryGauge(redis, 0.85, Clock()):
        assert "memory" in {task.get_name() for task in asyncio.all_tasks()}
    assert "memory" not in {task.get_name() for task in asyncio.all_tasks()}


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Redis]:
    """A server of this test's own, which 16 MB fill."""
    with valkey(tmp_path, "--appendfsync", "no", "--maxmemory", "16mb") as server:
        pool = connection_pool(server.url, timeout_seconds=5, retries=0, connections=4)
        yield Redis(connection_pool=pool)
        await pool.disconnect()


async def test_it_logs_a_redis_that_fills_up_and_is_emptied(
    small: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_watermark, "_PAUSE_SECONDS", 0.001)
    async with MemoryGauge(small, 0.85, asyncio.get_running_loop().time) as gauge:
        await until(lambda: gauge.ratio is not None and is_open(gauge))
        for number in range(14):
            await small.set(f"ballast:{number}", bytes(1_000_000))
        await until(lambda: not is_open(gauge))
        await small.flushall()
        await until(lambda: is_open(gauge))
