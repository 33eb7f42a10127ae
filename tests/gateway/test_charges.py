"""What an event says that a job cost."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.charges import after_end, at_end
from tests.gateway.store.conftest import new_job


@pytest.mark.parametrize(
    ("job", "costs", "charged", "basis"),
    [
        ({}, {}, None, None),
        ({}, {"a": 7}, 7, "upstream"),
        ({}, {"a": 0}, 0, "upstream"),
        ({}, {"a": None}, 5, "estimate"),
        ({"estimate": None}, {"a": None}, None, None),
        ({}, {"a": None, "b": 7}, 12, "estimate"),
        ({"charged": 7, "charge_basis": "upstream", "paid": ["a"]}, {"a": 7, "b": 8}, 15, "upstream"),
        ({"charged": 5, "charge_basis": "estimate", "paid": ["a"]}, {"b": 8}, 13, "estimate"),
        ({"charged": 1, "charge_basis": "operator"}, {"a": 7}, None, None),
    ],
)
def test_each_task_is_charged_once_at_what_the_upstream_said_or_the_estimate(
    job: dict[str, Any], costs: dict[str, int | None], charged: int | None, basis: str | None
) -> None:
    for compute in (at_end, after_end):
        found = compute(new_job(**{"estimate": 5, **job}), costs)
        assert (found.get("charged"), found.get("charge_basis")) == (charged, basis)


def test_a_charge_takes_its_share_out_of_suspense() -> None:
    job = new_job(estimate=5, suspense=10)
    assert after_end(job, {"a": 7})["suspense"] == 5
    assert after_end(job, {"a": 7, "b": 1, "c": None})["suspense"] == 0
    assert after_end(job, {})["suspense"] == 10
