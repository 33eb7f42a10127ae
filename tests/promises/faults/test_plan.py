"""A plan and its orders follow from their seed, and no fault strikes what another one holds."""

from __future__ import annotations

import json
from itertools import pairwise

from tests.promises.faults import orders, plan
from tests.promises.faults.world import LINKS, WORKERS


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan.draw(0.3, 5) == plan.draw(0.3, 5)
    assert plan.draw(0.3, 5) != plan.draw(0.3, 6)


def test_scale_1_holds_every_kind_as_often_as_it_says() -> None:
    drawn = plan.draw(1, 5)
    for kind, count in plan.COUNTS.items():
        assert sum(fault.kind == kind for fault in drawn) == count
    assert {fault.target for fault in drawn if fault.kind == "partition"} == set(LINKS)
    assert len({fault.detail for fault in drawn if fault.kind == "partition"}) == 7
    assert drawn == sorted(drawn, key=lambda fault: fault.at)


def test_no_two_faults_hold_one_target() -> None:
    for target in (*WORKERS, *LINKS, "valkey"):
        times = [(fault.at, fault.at + fault.seconds) for fault in plan.draw(1, 5) if fault.target == target]
        assert all(end <= begin for (_, end), (begin, _) in pairwise(times))


def test_an_order_follows_from_seed_and_number() -> None:
    first, again = (orders.draw(5, 17, "http://127.0.0.1:1") for _ in range(2))
    assert first == again
    assert first != orders.draw(5, 18, "http://127.0.0.1:1")
    assert json.loads(first.body)["prompt"].startswith("order 17 of run 5")


def test_no_webhook_goes_to_nobody_when_that_is_over() -> None:
    late = [orders.draw(5, number, "http://127.0.0.1:1", gone=False) for number in range(300)]
    assert not [order for order in late if order.path.endswith("gone")]
