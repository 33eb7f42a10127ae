"""When a delivery is tried again, and when it is given up."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.delivery.http import Deliverer
from gateway.dispatch import Role, Ticket
from gateway.endpoints import Delivery
from gateway.keyring import Keyring
from gateway.lifecycle import DeliveryState
from gateway.store import keys
from tests.gateway.delivery.subscriber import LOOPBACK, reply, subscriber
from tests.workers.conftest import Rig
from tests.workers.test_deliver import answering, only

LATE = "the next attempt would be later than 259200 seconds after the start"
LAST = "that was the last attempt of its schedule"


async def due_in(rig: Rig, delivery: Delivery) -> float | None:
    return await rig.due_in(Role.DELIVER, Ticket(Role.DELIVER, delivery.lane, delivery.id))


async def begin_round(rig: Rig, delivery: Delivery, trigger: str, at: int) -> Delivery:
    """What a redelivery writes: a new round of the schedule."""
    fields = {"since": delivery.attempts, "round_at": at, "trigger": trigger}
    await rig.redis.hset(keys.delivery(delivery.id), mapping=fields)  # type: ignore[misc]
    [found] = [one for one in await rig.deliveries_of(delivery) if one.id == delivery.id]
    return found


async def test_an_endpoint_s_own_schedule_comes_before_everybody_s(rig: Rig) -> None:
    async with subscriber(reply(500)) as served:
        endpoint = await rig.endpoint(served.url)
        await rig.resources.endpoints.change(replace(endpoint, schedule=(77.0,)), endpoint)
        delivery = await rig.deliver(await only(rig, await rig.completed()))
        assert await due_in(rig, delivery) == pytest.approx(77, abs=2)
        delivery = await rig.deliver(delivery)
    assert (delivery.state, delivery.attempts) == (DeliveryState.DEAD, 2)
    assert [entry.get("gave_up") for entry in delivery.log] == [None, LAST]


async def test_an_endpoint_without_any_retries_gets_one_attempt(rig: Rig) -> None:
    async with subscriber(reply(500)) as served:
        endpoint = await rig.endpoint(served.url)
        await rig.resources.endpoints.change(replace(endpoint, schedule=()), endpoint)
        delivery = await rig.deliver(await only(rig, await rig.completed()))
    assert (delivery.state, delivery.attempts) == (DeliveryState.DEAD, 1)


async def test_a_new_round_begins_the_schedule_anew_and_counts_attempts_on(rig: Rig) -> None:
    async with subscriber(answering(500, 500, 500, 500)) as served:
        delivery = await rig.deliver(await only(rig, await rig.completed(callback_url=served.url)))
        delivery = await rig.deliver(delivery)
        assert await due_in(rig, delivery) == pytest.approx(30, abs=2)
        delivery = await begin_round(rig, delivery, "manual", rig.delivery_worker.environment.now_ms())
        delivery = await rig.deliver(delivery)
        assert await due_in(rig, delivery) == pytest.approx(5, abs=2)
        delivery = await rig.deliver(delivery)
        assert await due_in(rig, delivery) == pytest.approx(30, abs=2)
    assert delivery.state is DeliveryState.PENDING
    assert [entry["number"] for entry in delivery.log] == [1, 2, 3, 4]
    assert [entry["trigger"] for entry in delivery.log] == ["auto", "auto", "manual", "manual"]


async def test_a_delivery_whose_next_attempt_would_be_too_late_is_dead_with_the_reason(rig: Rig) -> None:
    async with subscriber(reply(500)) as served:
        delivery = await only(rig, await rig.completed(callback_url=served.url))
        rig.clock.ahead = 259_190
        delivery = await rig.deliver(delivery)
        assert delivery.state is DeliveryState.PENDING
        delivery = await rig.deliver(delivery)
    assert delivery.state is DeliveryState.DEAD
    assert [entry.get("gave_up") for entry in delivery.log] == [None, LATE]
    assert delivery.log[1]["next_attempt_at"] is None
    assert await due_in(rig, delivery) is None


async def test_a_subscriber_that_asks_for_more_time_than_there_is_ends_it(rig: Rig) -> None:
    async with subscriber(reply(503, b"", "Retry-After: 3600")) as served:
        delivery = await only(rig, await rig.completed(callback_url=served.url))
        rig.clock.ahead = 259_200 - 1800
        delivery = await rig.deliver(delivery)
    assert (delivery.state, delivery.log[0]["gave_up"]) == (DeliveryState.DEAD, LATE)


@pytest.mark.parametrize("trigger", ["manual", "recovery"])
async def test_a_new_round_has_the_whole_time_again(rig: Rig, trigger: str) -> None:
    async with subscriber(reply(500)) as served:
        delivery = await only(rig, await rig.completed(callback_url=served.url))
        rig.clock.ahead = 1_000_000
        delivery = await begin_round(rig, delivery, trigger, rig.delivery_worker.environment.now_ms())
        delivery = await rig.deliver(delivery)
    assert (delivery.state, delivery.log[0]["trigger"]) == (DeliveryState.PENDING, trigger)


async def test_a_missing_key_does_not_keep_a_delivery_alive_for_ever(rig: Rig) -> None:
    delivery_worker = replace(rig.delivery_worker, keyring=Keyring.parse(Keyring.generate()))
    await rig.endpoint("http://127.0.0.1:9/hook")
    delivery = await only(rig, await rig.completed())
    rig.clock.ahead = 259_190
    delivery = await replace(rig, delivery_worker=delivery_worker).deliver(delivery)
    assert (delivery.state, delivery.attempts) == (DeliveryState.DEAD, 0)
    assert delivery.log[0]["gave_up"] == LATE


async def test_a_time_out_is_not_followed_within_a_minute(rig: Rig) -> None:
    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with subscriber(hang) as served, Deliverer(LOOPBACK, total_seconds=0.2) as impatient:
        delivery_worker = replace(rig.delivery_worker, deliverer=impatient)
        delivery = await only(rig, await rig.completed(callback_url=served.url))
        delivery = await replace(rig, delivery_worker=delivery_worker).deliver(delivery)
    assert delivery.log[0]["outcome"] == "timeout"
    waits = await due_in(rig, delivery)
    assert waits is not None
    assert waits > 58
