"""Headers that an endpoint adds: sent in clear, and never left out because their key is gone."""

from __future__ import annotations

from dataclasses import replace

from structlog.testing import capture_logs

from gateway.delivery import sealing
from gateway.endpoints import Endpoint
from gateway.keyring import Keyring
from gateway.lifecycle import DeliveryState
from tests.gateway.delivery.subscriber import reply, subscriber
from tests.workers.conftest import Rig
from tests.workers.test_deliver import headers_of, only

HEADERS = {"X-Team": "video", "Authorization": "Bearer canary-5d1e"}


async def with_headers(rig: Rig, keyring: Keyring, url: str) -> Endpoint:
    before = await rig.endpoint(url)
    after = sealing.with_headers(keyring, before, HEADERS)
    await rig.resources.endpoints.change(after, before)
    return after


async def test_a_webhook_carries_the_decrypted_headers(rig: Rig) -> None:
    async with subscriber(reply(200)) as served:
        await with_headers(rig, rig.resources.keyring, served.url)
        delivery = await rig.deliver(await only(rig, await rig.completed()))
    assert delivery.state is DeliveryState.DELIVERED
    sent = headers_of(served)
    assert (sent["x-team"], sent["authorization"]) == tuple(HEADERS.values())
    assert "canary" not in repr(delivery)


async def test_headers_that_are_stored_in_clear_are_still_sent(rig: Rig) -> None:
    async with subscriber(reply(200)) as served:
        before = await rig.endpoint(served.url)
        await rig.resources.endpoints.change(replace(before, headers=HEADERS), before)
        await rig.deliver(await only(rig, await rig.completed()))
    assert headers_of(served)["authorization"] == "Bearer canary-5d1e"


async def test_without_the_key_of_its_headers_a_delivery_is_held_and_says_why(rig: Rig) -> None:
    async with subscriber(reply(200)) as served:
        endpoint = await with_headers(rig, Keyring({"gone": b"g" * 32}), served.url)
        with capture_logs() as logged:
            delivery = await rig.deliver(await only(rig, await rig.completed()))
        assert (delivery.state, delivery.attempts, served.requests) == (DeliveryState.HELD, 0, [])
        [entry] = delivery.log
        assert entry["outcome"] == "headers_unreadable"
        assert "no key gone" in entry["hint"]
        assert "recover" in entry["hint"]
        assert [line["log_level"] for line in logged if line["event"] == "headers_unreadable"] == ["error"]
        assert (await rig.tally())["delivery_attempts|headers_unreadable"] == "1"
        mended = sealing.with_headers(rig.resources.keyring, endpoint, HEADERS)
        await rig.resources.endpoints.change(mended, endpoint)
        await rig.resources.deliveries.redeliver(delivery, "again")
        again = await rig.deliver(delivery)
    assert (again.state, again.attempts) == (DeliveryState.DELIVERED, 1)
    assert headers_of(served)["authorization"] == "Bearer canary-5d1e"


async def test_what_a_subscriber_echoes_of_the_headers_is_not_kept(rig: Rig) -> None:
    lines = ["X-Echo: Bearer canary-5d1e", "Location: /canary-5d1e?team=video"]
    body = b'{"authorization": "Bearer canary-5d1e", "token": "canary-5d1e", "status": "odd"}'
    async with subscriber(reply(302, body, *lines)) as served:
        await with_headers(rig, rig.resources.keyring, served.url)
        delivery = await rig.deliver(await only(rig, await rig.completed()))
    [entry] = delivery.log
    assert "canary" not in repr(entry)
    assert entry["excerpt"] == '{"authorization": "********", "token": "********", "status": "odd"}'
    assert entry["response_headers"]["x-echo"] == "********"
