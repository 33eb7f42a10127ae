"""What an attempt carries, what an endpoint may ask for by its answer, and what is made of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from gateway.delivery.secrets import endpoint_secret
from gateway.dispatch import Role, Ticket
from gateway.endpoints import Delivery, Endpoint, PreviousSecret
from gateway.keyring import Keyring
from gateway.lifecycle import DeliveryEvent, DeliveryState
from gateway.store import keys
from gateway.store.base import TransitionResult
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.delivery_base import Written
from tests.gateway.delivery.subscriber import reply, subscriber
from tests.workers.conftest import Rig
from tests.workers.test_deliver import answering, headers_of, only, slots_held

ENDPOINT_GONE = "http://127.0.0.1:9/hook"


@dataclass(slots=True)
class Noting:
    """A delivery store that keeps what was said of the endpoints' health."""

    store: RedisDeliveryStore
    health: list[bool | None] = field(default_factory=list)

    async def begin(self, ticket: Ticket) -> tuple[Delivery, bytes, Endpoint | None] | None:
        return await self.store.begin(ticket)

    async def finish(
        self,
        ticket: Ticket,
        delivery: Delivery,
        event: DeliveryEvent,
        *,
        retry_in_ms: int | None,
        tally: Sequence[str],
        health_ok: bool | None = None,
    ) -> TransitionResult:
        self.health.append(health_ok)
        return await self.store.finish(
            ticket, delivery, event, retry_in_ms=retry_in_ms, tally=tally, health_ok=health_ok
        )


def noting(rig: Rig) -> tuple[Rig, Noting]:
    store = Noting(rig.resources.deliveries)
    return replace(rig, delivery_worker=replace(rig.delivery_worker, deliveries=store)), store  # type: ignore[arg-type]


async def changed(rig: Rig, endpoint: Endpoint, **changes: object) -> Endpoint:
    after = replace(endpoint, **changes)  # type: ignore[arg-type]
    assert await rig.resources.endpoints.change(after, endpoint) is Written.WRITTEN
    return after


async def found(rig: Rig, endpoint: Endpoint) -> Endpoint:
    stored = await rig.resources.endpoints.read(endpoint.tenant, endpoint.id)
    assert stored
    return stored


async def test_an_endpoint_s_own_headers_are_sent_and_ours_win(rig: Rig) -> None:
    async with subscriber(reply(204)) as served:
        endpoint = await rig.endpoint(served.url)
        added = {
            "Authorization": "Bearer abc",
            "X-Team": "video",
            "Webhook-Signature": "v1,forged",
            "CONTENT-TYPE": "text/html",
            "user-agent": "curl",
            "Content-Length": "1",
            "Host": "elsewhere",
            "Connection": "close",
        }
        endpoint = await changed(rig, endpoint, headers=added)
        delivery = await rig.deliver(await only(rig, await rig.completed()))
    names = [line.split(":")[0].lower() for line in served.requests[0][0].decode().split("\r\n")[1:] if line]
    sent = headers_of(served)
    assert len(names) == len(set(names))
    assert (sent["authorization"], sent["x-team"]) == ("Bearer abc", "video")
    assert (sent["content-type"], sent["host"]) == ("application/json", served.url.split("/")[2])
    assert sent["user-agent"].startswith("vidu-gateway/")
    assert "connection" not in sent
    secret = endpoint_secret(rig.resources.keyring, endpoint.kid, endpoint.id, endpoint.version)
    Webhook(secret).verify(served.requests[0][1], sent)
    assert delivery.state is DeliveryState.DELIVERED


async def test_a_job_s_own_callback_url_gets_none_of_an_endpoint_s_headers(rig: Rig) -> None:
    async with subscriber(reply(204)) as served, subscriber(reply(204)) as other:
        await changed(rig, await rig.endpoint(other.url), headers={"X-Team": "video"})
        for delivery in await rig.deliveries(await rig.completed(callback_url=served.url)):
            await rig.deliver(delivery)
    assert "x-team" in headers_of(other)
    assert "x-team" not in headers_of(served)


async def test_during_a_rotation_old_and_new_secret_both_verify_until_the_old_one_s_time_is_over(
    rig: Rig,
) -> None:
    async with subscriber(reply(204)) as served:
        endpoint = await rig.endpoint(served.url)
        until = rig.delivery_worker.environment.now_ms() + 60_000
        rotated = await changed(rig, endpoint, version=2, previous=(PreviousSecret(endpoint.kid, 1, until),))
        old, new = (
            Webhook(endpoint_secret(rig.resources.keyring, rotated.kid, rotated.id, version))
            for version in (1, 2)
        )
        await rig.deliver(await only(rig, await rig.completed()))
        during = headers_of(served)
        for verifier in (old, new):
            verifier.verify(served.requests[0][1], during)
        rig.clock.ahead = 61
        await rig.deliver(await only(rig, await rig.completed()))
        after = headers_of(served, 1)
    assert len(during["webhook-signature"].split(" ")) == 2
    alone = during | {"webhook-signature": during["webhook-signature"].split(" ")[0]}
    new.verify(served.requests[0][1], alone)
    assert len(after["webhook-signature"].split(" ")) == 1
    new.verify(served.requests[1][1], after)
    with pytest.raises(WebhookVerificationError):
        old.verify(served.requests[1][1], after)


@pytest.mark.parametrize(
    ("status", "state"),
    [(500, DeliveryState.HELD), (200, DeliveryState.DELIVERED), (302, DeliveryState.HELD)],
)
async def test_an_endpoint_that_asks_for_it_is_disabled(rig: Rig, status: int, state: DeliveryState) -> None:
    async with subscriber(reply(status, b"", "Webhook-Delivery: DISABLE")) as served:
        endpoint = await rig.endpoint(served.url)
        delivery = await rig.deliver(await only(rig, await rig.completed()))
    assert (delivery.state, delivery.attempts, delivery.next_attempt_at) == (state, 1, None)
    after = await found(rig, endpoint)
    assert after.disabled_at is not None
    assert after.disabled_reason == "answered with the header webhook-delivery: disable"


async def test_a_delivery_to_a_callback_url_that_asks_for_no_more_is_dead_and_says_so(rig: Rig) -> None:
    async with subscriber(reply(500, b"", "webhook-delivery: disable")) as served:
        delivery = await rig.deliver(await only(rig, await rig.completed(callback_url=served.url)))
    assert delivery.state is DeliveryState.DEAD
    assert delivery.log[0]["gave_up"].endswith("answered with the header webhook-delivery: disable")


async def test_an_entry_of_the_log_has_all_that_helps(rig: Rig) -> None:
    async with subscriber(reply(302, b"<a>", "Location: http://new.test/")) as served:
        delivery = await rig.deliver(await only(rig, await rig.completed(callback_url=served.url)))
    [entry] = delivery.log
    assert (entry["number"], entry["trigger"], entry["outcome"], entry["status"]) == (
        1,
        "auto",
        "http_3xx",
        302,
    )
    assert entry["hint"].endswith("register the final address: http://new.test/")
    assert entry["response_headers"]["location"] == "http://new.test/"
    assert (entry["excerpt"], entry["reused"], entry["retried"]) == ("<a>", False, False)
    assert entry["timings"]["connect"] is not None
    assert delivery.next_attempt_at is not None
    assert entry["next_attempt_at"].endswith("Z")
    ticket = Ticket(Role.DELIVER, delivery.lane, delivery.id)
    due = await rig.redis.zscore(keys.due(Role.DELIVER), str(ticket))
    assert due == pytest.approx(delivery.next_attempt_at, abs=2000)


async def test_what_was_delivered_has_no_next_attempt(rig: Rig) -> None:
    async with subscriber(answering(500, 200)) as served:
        delivery = await rig.deliver(await only(rig, await rig.completed(callback_url=served.url)))
        assert delivery.next_attempt_at is not None
        delivery = await rig.deliver(delivery)
    assert (delivery.state, delivery.next_attempt_at) == (DeliveryState.DELIVERED, None)
    assert [entry["next_attempt_at"] is None for entry in delivery.log] == [False, True]


async def test_what_is_held_for_a_disabled_endpoint_has_no_next_attempt(rig: Rig) -> None:
    async with subscriber(reply(500)) as served:
        endpoint = await rig.endpoint(served.url)
        delivery = await rig.deliver(await only(rig, await rig.completed()))
        await rig.resources.endpoints.disable(endpoint, "by hand", 1)
        delivery = await rig.deliver(delivery)
    assert (delivery.state, delivery.attempts) == (DeliveryState.HELD, 1)
    assert delivery.next_attempt_at is None


@pytest.mark.parametrize(("status", "health"), [(200, True), (500, False), (302, False), (410, False)])
async def test_every_answer_counts_for_the_endpoint_s_breaker(rig: Rig, status: int, health: bool) -> None:
    rig, store = noting(rig)
    async with subscriber(reply(status)) as served:
        await rig.endpoint(served.url)
        await rig.deliver(await only(rig, await rig.completed()))
    assert store.health == [health]


async def test_what_is_owed_to_a_deleted_or_disabled_endpoint_does_not_count_for_its_breaker(
    rig: Rig,
) -> None:
    rig, store = noting(rig)
    deleted, disabled = await rig.endpoint(ENDPOINT_GONE), await rig.endpoint(ENDPOINT_GONE)
    owed = await rig.deliveries(await rig.completed())
    await rig.resources.endpoints.delete(deleted)
    await rig.resources.endpoints.disable(disabled, "by hand", 1)
    after = {one.endpoint_id: one for one in [await rig.deliver(delivery) for delivery in owed]}
    assert store.health == [None, None]
    assert after[deleted.id].log[0]["gave_up"] == "its endpoint was deleted"
    assert after[disabled.id].state is DeliveryState.HELD


async def test_a_key_that_is_missing_is_not_the_endpoint_s_fault_and_costs_no_attempt(rig: Rig) -> None:
    rig, store = noting(rig)
    foreign = Keyring.parse(Keyring.generate())
    lost = replace(rig, delivery_worker=replace(rig.delivery_worker, keyring=foreign))
    async with subscriber(answering(500, 200)) as served:
        await rig.endpoint(served.url)
        delivery = await rig.deliver(await only(rig, await rig.completed()))
        for _ in range(30):
            delivery = await lost.deliver(delivery)
        assert (delivery.state, delivery.attempts, len(served.requests)) == (DeliveryState.PENDING, 1, 1)
        ticket = Ticket(Role.DELIVER, delivery.lane, delivery.id)
        assert await rig.due_in(Role.DELIVER, ticket) == pytest.approx(66, abs=3)
        assert [entry["outcome"] for entry in delivery.log] == ["http_5xx", "secret_missing"]
        delivery = await rig.deliver(delivery)
    assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 2)
    assert store.health == [False, *[None] * 30, True]


async def test_a_worker_that_lost_its_lease_in_mid_attempt_records_nothing(rig: Rig) -> None:
    async def answer_late(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await rig.let_lease_run_out(Role.DELIVER, ticket)
        await rig.resources.lanes.redispatch(ticket)
        writer.write(reply(200))
        await writer.drain()

    async with subscriber(answer_late) as served:
        delivery = await only(rig, await rig.completed(callback_url=served.url))
        ticket = await rig.ticket(Role.DELIVER, delivery.id)
        await rig.delivery_worker.deliver(ticket)
        assert len(served.requests) == 1
    after = await only(rig, await rig.resources.jobs.read(delivery.job_id))  # type: ignore[arg-type]
    assert (after.state, after.attempts, after.log) == (DeliveryState.PENDING, 0, [])
    assert "delivery_attempts|succeeded" not in await rig.tally()
    assert await slots_held(rig) == 1


@pytest.mark.parametrize(("seconds", "woken"), [(0.8, 1), (5.0, 0)])
async def test_the_dispatcher_is_woken_for_a_retry_within_a_second(
    rig: Rig, seconds: float, woken: int
) -> None:
    calls: list[None] = []
    settings = rig.delivery_worker.settings.model_copy(update={"delivery_schedule_seconds": [seconds]})
    delivery_worker = replace(rig.delivery_worker, settings=settings, wake=lambda: calls.append(None))
    async with subscriber(reply(500)) as served:
        await replace(rig, delivery_worker=delivery_worker).deliver(
            await only(rig, await rig.completed(callback_url=served.url))
        )
    assert len(calls) == woken
