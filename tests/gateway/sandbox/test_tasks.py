from __future__ import annotations

import re

from gateway.environment import Environment
from gateway.sandbox.checks import Reference, TaskSpec
from gateway.sandbox.prices import cost_of, credits_of
from gateway.sandbox.tasks import Task, new_task


def spec(duration: int = 5, seed: int = 0) -> TaskSpec:
    return TaskSpec(
        images=(Reference(url="http://127.0.0.1:9/a.png"),), prompt="a fox", duration=duration, seed=seed
    )


def task(duration: int = 5, seed: int = 0, environment: Environment | None = None) -> Task:
    return new_task(spec(duration, seed), "http://sandbox", {}, environment or Environment())


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


def test_the_price_is_by_the_second_and_the_resolution() -> None:
    assert (cost_of("540p", 1), cost_of("720p", 5), cost_of("1080p", 10)) == ("0.0350", "0.2750", "1.1000")
    assert credits_of("0.2750") == 55
    assert task(duration=0, seed=3).cost == cost_of("720p", task(duration=0, seed=3).seconds)
