"""What an event says that a job cost."""

from __future__ import annotations

import pytest

from gateway.money.charges import Charged, charged_after

NOTHING = Charged(None, None)


@pytest.mark.parametrize(
    ("before", "paid", "estimate", "costs", "after"),
    [
        (NOTHING, [], 5, {}, NOTHING),
        (NOTHING, [], 5, {"a": 7}, Charged(7, "upstream")),
        (NOTHING, [], 5, {"a": 0}, Charged(0, "upstream")),
        (NOTHING, [], 5, {"a": None}, Charged(5, "estimate")),
        (NOTHING, [], None, {"a": None}, NOTHING),
        (NOTHING, [], 5, {"a": None, "b": 7}, Charged(12, "estimate")),
        (Charged(7, "upstream"), ["a"], 5, {"a": 7, "b": 8}, Charged(15, "upstream")),
        (Charged(5, "estimate"), ["a"], 5, {"b": 8}, Charged(13, "estimate")),
        (Charged(1, "operator"), [], 5, {"a": 7}, Charged(1, "operator")),
    ],
)
def test_each_task_is_charged_once_at_what_the_upstream_said_or_the_estimate(
    before: Charged, paid: list[str], estimate: int | None, costs: dict[str, int | None], after: Charged
) -> None:
    assert charged_after(before, paid, estimate, costs) == after
