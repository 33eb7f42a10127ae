"""A price file is read again while the process runs; what cannot be read changes nothing, and is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.errors import ConfigurationError
from gateway.money import price_document
from gateway.money.prices import CurrentPrices, PriceBook
from gateway.resources import Resources
from gateway.store import keys
from gateway.web import price_watch
from gateway.web.price_watch import PriceWatch
from tests.workers.conftest import eventually

TOML = """
currency = "USD"
[[prices]]
dialect = "vtrix"
model = "viduq2_pro_reference"
resolution = "720p"
valid_from = 2026-01-01
first_second = "%s"
second_second = "0.0650"
further_second = "0.0450"
"""


def write(path: Path, text: str | None) -> None:
    """None: removes it."""
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    write(path, TOML % "0.0750")
    return path


def watching(resources: Resources, path: Path | None, current: CurrentPrices) -> PriceWatch:
    return PriceWatch(resources.prices, current, resources.environment, path, "USD")


def first_second(current: CurrentPrices) -> int:
    return current.book.prices[0].first_second


async def audit(resources: Resources) -> list[str]:
    return [fields["changes"] for _, fields in await resources.redis.xrange(keys.AUDIT)]


async def test_a_changed_file_counts_and_is_audited(
    resources: Resources, empty_redis: None, path: Path
) -> None:
    current, other = CurrentPrices(), CurrentPrices()
    async with watching(resources, path, current) as watch, watching(resources, path, other) as second:
        write(path, TOML % "0.0800")
        await watch.look()
        await second.look()
        await watch.look()
        assert (first_second(current), first_second(other)) == (80_000, 80_000)
        assert len({one.digest for one in await resources.prices.in_use()}) == 1
    first, changed = await audit(resources)
    assert first == f"1 prices in {path}"
    assert "0.0750 + 0.0650 + 0.0450 -> 0.0800 + 0.0650 + 0.0450" in changed
    assert await resources.prices.in_use() == []


@pytest.mark.parametrize(
    "broken",
    ["prices = [", TOML % "-1", None, "a = 1e9999999999999999999999", "a = " + "[" * 20_000],
    ids=["not TOML", "a negative price", "no file", "a number out of range", "nested deeply"],
)
async def test_the_last_good_prices_stay_while_the_file_cannot_be_read(
    resources: Resources, empty_redis: None, path: Path, broken: str | None
) -> None:
    current = CurrentPrices()
    async with watching(resources, path, current) as watch:
        write(path, broken)
        with capture_logs() as logs:
            for _ in range(2):
                await watch.look()
        assert [(log["event"], log["log_level"]) for log in logs] == [("prices_unreadable", "warning")]
        assert watch.fault is not None
        assert str(path) in watch.fault
        assert first_second(current) == 75_000
        assert [one.fault for one in await resources.prices.in_use()] == [True]
        write(path, TOML % "0.0750")
        await watch.look()
        assert watch.fault is None
        assert [one.fault for one in await resources.prices.in_use()] == [False]
    assert len(await audit(resources)) == 1


async def test_a_process_does_not_start_with_a_file_that_cannot_be_read(
    resources: Resources, path: Path
) -> None:
    write(path, "currency = 'EUR'")
    with pytest.raises(ConfigurationError, match=r"prices\.toml: .*currency"):
        async with watching(resources, path, CurrentPrices()):
            pass


async def test_the_watch_goes_on_after_an_error_that_nobody_expected(
    resources: Resources, empty_redis: None, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_watch, "LOOK_SECONDS", 0.01)
    current, parse, failing = CurrentPrices(), price_document.parse_file, [True]

    def parse_file(raw: bytes, path: Path, currency: str) -> PriceBook:
        if failing[0]:
            raise KeyError("a bug")
        return parse(raw, path, currency)

    async def crashed() -> bool:
        return watch.fault == "newer prices cannot be read: KeyError: 'a bug'"

    async def well() -> bool:
        return watch.fault is None

    async with watching(resources, path, current) as watch:
        monkeypatch.setattr(price_document, "parse_file", parse_file)
        with capture_logs() as logs:
            write(path, TOML % "0.0800")
            await eventually(crashed)
            failing[0] = False
            await eventually(well)
        events = [log["event"] for log in logs]
        assert events == ["prices_unreadable", "prices_in_use", "prices_readable"]
        assert first_second(current) == 80_000


async def test_two_files_are_two_books(resources: Resources, empty_redis: None, path: Path) -> None:
    another = path.with_name("another.toml")
    write(another, TOML % "0.0800")
    async with (
        watching(resources, path, CurrentPrices()) as one,
        watching(resources, another, CurrentPrices()) as two,
    ):
        for _ in range(3):
            await one.look()
            await two.look()
        assert len({book.digest for book in await resources.prices.in_use()}) == 2
    assert len(await audit(resources)) == 2
