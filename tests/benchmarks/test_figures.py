"""The arithmetic of the benchmarks: percentiles, spread, verdicts, what a job costs the store."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.benchmarks import report, store_cost
from tests.benchmarks.__main__ import TARGETS
from tests.benchmarks.figures import FLOOR_MOVED, Figure, Found, Target, found_in, over_floor, quantile


@pytest.mark.parametrize(("p", "wanted"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_quantile_is_one_of_the_values(p: float, wanted: int) -> None:
    values = list(range(1, 101))
    random.shuffle(values)
    assert quantile(values, p) == wanted


def test_a_single_value_is_every_quantile() -> None:
    assert quantile([7.0], 0.99) == 7.0


def test_the_spread_is_least_median_and_most() -> None:
    assert Figure([3.0, 1.0, 9.0, 2.0]).spread == (1.0, 2.5, 9.0)


def test_each_round_is_compared_with_the_floor_of_that_round() -> None:
    found = over_floor([10.0, 30.0], [100.0, 100.0])
    assert (found.rounds, found.floors) == ([0.1, 0.3], [100.0, 100.0])


def test_a_figure_may_be_given_as_its_rounds_or_as_one_value() -> None:
    found = found_in({"one": 2.0, "three": [1.0, 3.0, 2.0]})
    assert found.figures["one"].spread == (2.0, 2.0, 2.0)
    assert found.figures["three"].spread == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(("target", "wanted"), [(Target(">=", 2), "ok"), (Target("<=", 1.9), "MISSED")])
def test_the_median_is_judged(target: Target, wanted: str) -> None:
    assert Figure([0.0, 2.0, 90.0]).verdict(target) == wanted


def test_there_is_no_verdict_when_the_floor_moved_by_more_than_a_quarter() -> None:
    target = Target("<=", 1)
    assert Figure([1.0, 1.0], [100.0, 125.0]).verdict(target) == "ok"
    assert Figure([1.0, 1.0], [126.0, 100.0]).verdict(target) == FLOOR_MOVED


def test_what_idle_processes_ask_is_taken_off_the_cost_of_a_job() -> None:
    before = store_cost.Calls(10.0, Counter(evalsha=5, hget=100))
    after = store_cost.Calls(20.0, Counter(evalsha=45, hget=400, zadd=20))
    idle = {"evalsha": 1.0, "hget": 10.0}
    assert store_cost.cost(before, after, idle, jobs=10) == (3.0, 22.0)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("{gw}:job:job_01JD6Z9W7Q8R5T3V2X1Y0Z4ABC", "job:*"),
        ("{gw}:job:job_01JD6Z9W7Q8R5T3V2X1Y0Z4ABC:audit", "job:*:audit"),
        ("{gw}:event:evt_01JD6Z9W7Q8R5T3V2X1Y0Z4ABC_completed", "event:*"),
        ("{gw}:tenant:acme:jobs:completed", "tenant:acme:jobs:completed"),
    ],
)
def test_keys_of_one_kind_are_weighed_together(name: str, kind: str) -> None:
    assert store_cost.kind_of(name) == kind


def test_the_report_fits_a_terminal_and_a_page() -> None:
    found = Found(
        {key: Figure([123456.789, 0.001], [1.0, 9.0]) for key in TARGETS},
        {f"{key}_detail": [1.0] for key in TARGETS},
        ["kinds: " + ", ".join(f"job:*:part{number} 123" for number in range(40))],
    )
    document = report.empty()
    report.add(document, "all", found, TARGETS)
    assert document["intake_ratio"] == document["spread"]["intake_ratio"]["median"] == 61728.395
    assert document["spread"]["intake_ratio"]["verdict"] == FLOOR_MOVED
    assert max(map(len, report.as_lines(document))) <= report.WIDTH
    prose = [line for line in report.as_markdown(document) if not line.startswith("|")]
    assert max(map(len, prose)) <= report.WIDTH


def test_a_part_replaces_its_own_figures_only(tmp_path: Path) -> None:
    document = report.empty()
    report.add(document, "one", Found({"intake_ratio": Figure([1.0])}, {}, ["first"]), TARGETS)
    report.add(document, "two", Found({"drain_ratio": Figure([2.0])}, {}, ["other"]), TARGETS)
    report.add(document, "one", Found({"intake_ratio": Figure([3.0])}, {}, ["second"]), TARGETS)
    report.write(tmp_path / "latest.json", document)
    kept = report.read(tmp_path / "latest.json")
    assert (kept["intake_ratio"], kept["drain_ratio"]) == (3.0, 2.0)
    assert kept["notes"] == {"one": ["second"], "two": ["other"]}


def test_figures_of_another_form_are_left_behind(tmp_path: Path) -> None:
    (tmp_path / "latest.json").write_text('{"intake_ratio": 0.5, "cores": 2}')
    assert report.read(tmp_path / "latest.json") == report.empty()
