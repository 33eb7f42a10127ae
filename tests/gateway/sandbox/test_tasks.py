from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.environment import Environment
from gateway.money.amounts import to_text
from gateway.money.price_document import read_file
from gateway.sandbox import prices
from gateway.sandbox.checks import MODEL, Reference, TaskSpec
from gateway.sandbox.prices import cost_of, credits_of
from gateway.sandbox.tasks import Task, new_task


def spec(duration: int = 5, seed: int = 0) -> TaskSpec:
    return TaskSpec(
        images=(Reference(url="http://127.0.0.1:9/a.png"),), prompt="a fox", duration=duration, seed=seed
    )


def task(duration: int = 5, seed: int = 0, environment: Environment | None = None, **more: Any) -> Task:
    wanted = replace(spec(duration, seed), **more)
    return new_task(wanted, "http://sandbox", {}, environment or Environment())


def test_ids_look_like_the_real_ones() -> None:
    made = [task() for _ in range(50)]
    assert all(re.fullmatch(r"[0-9a-v]{20}", one.id) for one in made)
    assert all(re.fullmatch(r"9[0-9]{17}", one.foreign_id) for one in made)
    assert len({one.id for one in made}) == 50


def test_seed_zero_gives_a_random_seed_which_is_recorded() -> None:
    assert task(environment=Environment(random=lambda: 0.0)).seed == 1
    assert task(environment=Environment(random=lambda: 0.999999999)).seed <= 2**31 - 1
    assert task(seed=42).seed == 42


def test_duration_zero_gives_three_to_six_seconds_by_the_seed() -> None:
    lengths = [task(duration=0, seed=seed).seconds for seed in range(1, 60)]
    assert set(lengths) == {3, 4, 5, 6}
    assert lengths == [task(duration=0, seed=seed).seconds for seed in range(1, 60)]


def test_the_first_second_costs_most_and_each_further_one_least() -> None:
    costs = [cost_of("720p", seconds) for seconds in (1, 2, 3, 5, 10)]
    assert costs == ["0.0750", "0.1400", "0.1850", "0.2750", "0.5000"]
    assert (cost_of("540p", 1), cost_of("1080p", 10)) == ("0.0500", "0.9250")
    assert credits_of("0.2750") == 55
    assert task(duration=0, seed=3).cost == cost_of("720p", task(duration=0, seed=3).seconds)


def test_clips_cost_more_and_off_peak_less() -> None:
    clip = (Reference("https://e.test/a.mp4"),)
    assert task(videos=clip).cost == "0.3250"
    assert task(off_peak=True).cost == "0.1500"
    assert task(videos=clip, off_peak=True).cost == "0.2000"


@pytest.mark.parametrize("dialect", ["vtrix", "vidu"])
def test_the_price_file_of_the_sandbox_says_what_tasks_cost(dialect: str) -> None:
    book = read_file(Path(prices.__file__).with_suffix(".toml"), "USD")
    now = Environment().now_ms()
    for use in itertools.product(prices.PEAK, range(1, 11), (False, True), (False, True)):
        resolution, seconds, with_clips, off_peak = use
        params = {"resolution": resolution, "duration": seconds, "off_peak": off_peak}
        found = book.estimate(dialect, MODEL, {**params, "videos": ["x"] * with_clips}, now)
        assert found is not None
        assert to_text(found.amount) == cost_of(resolution, seconds, with_clips=with_clips, off_peak=off_peak)
    assert len(book.prices) == 24
