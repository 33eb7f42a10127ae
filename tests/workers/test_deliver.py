"""Deliveries to a real subscriber on loopback: what it gets, and what its answer does."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from standardwebhooks.webhooks import Webhook

from gateway.delivery.secrets import endpoint_secret, tenant_secret
from gateway.dispatch import Role, Ticket
from gateway.endpoints import Delivery
from gateway.events import EventType
from gateway.jobs import Job
from gateway.lifecycle import DeliveryState
from gateway.store import keys
from tests.gateway.delivery.subscriber import Script, Subscriber, reply, subscriber
from tests.gateway.store.conftest import dispatched, stored_body
from tests.workers.conftest import Rig


def answering(*statuses: int, headers: tuple[str, ...] = ()) -> Script:
    """A script that gives these answers in order."""
    left = list(statuses)

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(left.pop(0), b"", *headers))
        await writer.drain()

    return script


def headers_of(served: Subscriber, at: int = 0) -> dict[str, str]:
    lines = served.requests[at][0].decode().split("\r\n")[1:]
    pairs = [line.split(": ", 1) for line in lines if line]
    return {name.lower(): value for name, value in pairs}


async def only(rig: Rig, job: Job) -> Delivery:
    [delivery] = await rig.deliveries(job)
    return delivery


async def slots_held(rig: Rig) -> int:
    held: int = await rig.redis.zcard(keys.slots(Role.DELIVER))
    return held


async def test_an_endpoint_gets_the_event_signed_with_its_own_secret(rig: Rig) -> None:
    async with subscriber(reply(200, b"thanks")) as served:
        endpoint = await rig.endpoint(served.url)
        job = await rig.completed()
        delivery = await rig.deliver(await only(rig, job))
    secret = endpoint_secret(rig.resources.keyring, endpoint.kid, endpoint.id, endpoint.version)
    _, body = served.requests[0]
    Webhook(secret).verify(body, headers_of(served))
    event = orjson.loads(body)
    assert (event["type"], event["data"]["id"]) == ("job.completed", job.id)
    assert headers_of(served)["webhook-id"] == delivery.event_id
    assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 1)
    [entry] = delivery.log
    assert (entry["number"], entry["outcome"], entry["status"]) == (1, "succeeded", 200)
    assert entry["excerpt"] == "thanks"
    assert (await rig.tally())["delivery_attempts|succeeded"] == "1"
    assert await slots_held(rig) == 0


async def test_a_job_s_own_callback_url_gets_it_signed_with_the_tenant_s_secret(rig: Rig) -> None:
    async with subscriber(reply(204)) as served:
        job = await rig.completed(callback_url=served.url)
        delivery = await rig.deliver(await only(rig, job))
    keyring = rig.resources.keyring
    Webhook(tenant_secret(keyring, keyring.active_kid, "acme")).verify(
        served.requests[0][1], headers_of(served)
    )
    assert delivery.state is DeliveryState.DELIVERED


async def test_an_endpoint_and_a_callback_url_are_called_with_the_bytes_that_were_registered(
    rig: Rig,
) -> None:
    async with subscriber(reply(204)) as served:
        url = f"{served.url}/%28x%29?sig=a%2Bb%2F"
        await rig.endpoint(url)
        job = await rig.completed(callback_url=url)
        for delivery in await rig.deliveries(job):
            await rig.deliver(delivery)
    lines = [head.split(b"\r\n")[0] for head, _ in served.requests]
    assert lines == [b"POST /hook/%28x%29?sig=a%2Bb%2F HTTP/1.1"] * 2


async def test_two_endpoints_and_a_callback_url_all_get_the_same_event(rig: Rig) -> None:
    async with subscriber(reply(200)) as one, subscriber(reply(200)) as two, subscriber(reply(200)) as own:
        await rig.endpoint(one.url)
        await rig.endpoint(two.url, EventType.COMPLETED)
        job = await rig.completed(callback_url=own.url)
        after = [await rig.deliver(delivery) for delivery in await rig.deliveries(job)]
        assert {delivery.state for delivery in after} == {DeliveryState.DELIVERED}
        bodies = {served.requests[0][1] for served in (one, two, own)}
        events = {headers_of(served)["webhook-id"] for served in (one, two, own)}
    assert (len(bodies), len(events), len(after)) == (1, 1, 3)


async def test_a_failed_attempt_is_made_again_with_the_same_id_and_a_new_signature(rig: Rig) -> None:
    async with subscriber(answering(500, 200)) as served:
        endpoint = await rig.endpoint(served.url)
        delivery = await rig.deliver(await only(rig, await rig.completed()))
        assert (delivery.state, delivery.attempts) == (DeliveryState.PENDING, 1)
        ticket = Ticket(Role.DELIVER, delivery.lane, delivery.id)
        assert await rig.due_in(Role.DELIVER, ticket) == pytest.approx(5, abs=2)
        assert await slots_held(rig) == 0
        rig.clock.ahead = 7
        delivery = await rig.deliver(delivery)
    assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 2)
    assert [entry["outcome"] for entry in delivery.log] == ["http_5xx", "succeeded"]
    first, second = headers_of(served, 0), headers_of(served, 1)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) >= 7
    assert first["webhook-signature"] != second["webhook-signature"]
    secret = endpoint_secret(rig.resources.keyring, endpoint.kid, endpoint.id, endpoint.version)
    assert served.requests[0][1] == served.requests[1][1]
    Webhook(secret).verify(served.requests[1][1], second)


async def test_a_subscriber_that_asks_for_time_gets_it(rig: Rig) -> None:
    async with subscriber(answering(503, headers=("Retry-After: 900",))) as served:
        delivery = await rig.deliver(await only(rig, await rig.completed(callback_url=served.url)))
    ticket = Ticket(Role.DELIVER, delivery.lane, delivery.id)
    assert await rig.due_in(Role.DELIVER, ticket) == pytest.approx(900, abs=5)


async def test_a_delivery_whose_last_attempt_failed_is_dead_and_kept(rig: Rig) -> None:
    async with subscriber(reply(500, b"broken")) as served:
        delivery = await only(rig, await rig.completed(callback_url=served.url))
        states = []
        for _ in range(3):
            delivery = await rig.deliver(delivery)
            states.append(delivery.state)
    assert states == [DeliveryState.PENDING, DeliveryState.PENDING, DeliveryState.DEAD]
    assert [entry["number"] for entry in delivery.log] == [1, 2, 3]
    assert {entry["excerpt"] for entry in delivery.log} == {"broken"}
    ticket = Ticket(Role.DELIVER, delivery.lane, delivery.id)
    assert await rig.due_in(Role.DELIVER, ticket) is None
    assert await slots_held(rig) == 0
    assert await stored_body(rig.redis, delivery.event_id)


async def test_an_endpoint_that_is_gone_is_disabled_and_what_it_is_owed_is_held(rig: Rig) -> None:
    async with subscriber(reply(410)) as served:
        endpoint = await rig.endpoint(served.url)
        first, second = await rig.completed(), await rig.completed()
        told = await rig.deliver(await only(rig, first))
        spared = await rig.deliver(await only(rig, second))
        later = await only(rig, await rig.completed())
    assert (told.state, told.attempts) == (DeliveryState.HELD, 1)
    assert (spared.state, spared.attempts) == (DeliveryState.HELD, 0)
    assert later.state is DeliveryState.HELD
    assert later.id not in await dispatched(rig.redis, Role.DELIVER)
    assert len(served.requests) == 1
    found = await rig.resources.endpoints.read("acme", endpoint.id)
    assert found is not None
    assert found.disabled_at is not None
    assert found.disabled_reason == "answered 410 Gone"


async def test_a_callback_url_that_is_gone_is_not_asked_again(rig: Rig) -> None:
    async with subscriber(reply(410)) as served:
        delivery = await rig.deliver(await only(rig, await rig.completed(callback_url=served.url)))
    assert (delivery.state, delivery.attempts) == (DeliveryState.DEAD, 1)


async def test_what_is_owed_to_a_deleted_endpoint_is_dead_without_an_attempt(rig: Rig) -> None:
    endpoint = await rig.endpoint("http://127.0.0.1:9/hook")
    job = await rig.completed()
    await rig.resources.endpoints.delete(endpoint)
    delivery = await rig.deliver(await only(rig, job))
    assert (delivery.state, delivery.attempts) == (DeliveryState.DEAD, 0)
    assert [entry["outcome"] for entry in delivery.log] == ["endpoint_deleted"]
    assert await slots_held(rig) == 0


async def test_an_address_that_may_not_be_dialled_is_an_attempt_that_says_so(rig: Rig) -> None:
    delivery = await rig.deliver(await only(rig, await rig.completed(callback_url="http://169.254.169.254/")))
    assert (delivery.state, delivery.attempts) == (DeliveryState.PENDING, 1)
    [entry] = delivery.log
    assert (entry["outcome"], entry["status"]) == ("target_forbidden", None)


async def test_a_ticket_of_an_older_dispatch_posts_nothing(rig: Rig) -> None:
    async with subscriber(reply(200)) as served:
        delivery = await only(rig, await rig.completed(callback_url=served.url))
        old = await rig.ticket(Role.DELIVER, delivery.id)
        assert await rig.resources.lanes.redispatch(old)
        await rig.delivery_worker.deliver(old)
        assert served.requests == []
        newest = await rig.ticket(Role.DELIVER, delivery.id)
        await rig.delivery_worker.deliver(newest)
        await rig.delivery_worker.deliver(newest)
        assert len(served.requests) == 1


async def test_a_slow_endpoint_takes_no_more_than_its_own_slots(rig: Rig) -> None:
    async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with subscriber(never) as slow, subscriber(reply(200)) as quick:
        stuck, brisk = await rig.endpoint(slow.url), await rig.endpoint(quick.url)
        jobs = [await rig.completed() for _ in range(4)]
        owed = [delivery for job in jobs for delivery in await rig.deliveries(job)]
        waiting = [delivery for delivery in owed if delivery.endpoint_id == stuck.id]
        running = [
            asyncio.create_task(rig.delivery_worker.deliver(await rig.ticket(Role.DELIVER, delivery.id)))
            for delivery in waiting
            if delivery.id in await dispatched(rig.redis, Role.DELIVER)
        ]
        for delivery in owed:
            if delivery.endpoint_id == brisk.id:
                after = await rig.deliver(delivery)
                assert after.state is DeliveryState.DELIVERED
        assert len(running) == 2
        assert await rig.redis.hgetall(keys.in_flight(Role.DELIVER)) == {stuck.id: "2"}  # type: ignore[misc]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
