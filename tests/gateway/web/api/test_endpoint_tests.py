"""A test event: sent at once, as events are, with the answer shown, and without consequences."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from gateway.endpoints import Endpoint
from gateway.lifecycle import DeliveryState
from gateway.resources import Resources
from gateway.store.delivery_base import DeliveryQuery
from gateway.web.schemas import endpoints as schemas
from gateway.web.schemas import jobs as job_schemas
from tests.gateway.delivery.subscriber import Subscriber, reply, subscriber
from tests.gateway.web.api.registering import register
from tests.gateway.web.parsing import parsed


def received(served: Subscriber) -> tuple[dict[str, str], bytes]:
    """Headers, names in lower case, and body of the only request."""
    ((head, body),) = served.requests
    lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line]
    return {name.lower(): value for name, value in lines}, body


async def test_a_test_event_is_signed_and_sent_as_events_are(client: httpx.AsyncClient) -> None:
    async with subscriber(reply(204)) as served:
        made = await register(client, url=served.url, headers={"X-Team": "video"})
        answer = await client.post(f"{made['path']}/test")
        assert answer.status_code == 200
        headers, body = received(served)
    result = parsed(schemas.TestResult, answer.content)
    assert result["delivered"]
    assert (result["attempt"]["outcome"], result["attempt"]["status"]) == ("succeeded", 204)
    assert result["attempt"]["url"] == served.url
    assert headers["webhook-id"] == result["event"]
    assert result["event"].startswith("evt_test_")
    assert headers["x-team"] == "video"
    assert headers["content-type"] == "application/json"
    Webhook(made["secret"]).verify(body, headers)
    sent = parsed(job_schemas.TestEvent, body)
    assert (sent["type"], sent["data"]["endpoint"]) == ("endpoint.test", made["id"])
    assert sent["timestamp"] == result["attempt"]["at"]
    assert "whsec" not in answer.text


async def test_the_checks_of_a_url_and_its_test_event_share_one_lookup(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, looked_up = socket.getaddrinfo, list[str]()

    def look_up(host: str, *args: Any, **options: Any) -> list[Any]:
        looked_up.append(host)
        return system("127.0.0.1" if host == "hooks.example" else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with subscriber(reply(204)) as served:
        made = await register(client, url=f"http://hooks.example:{served.port}/")
        assert (await client.post(f"{made['path']}/test")).json()["delivered"]
    assert looked_up.count("hooks.example") == 1


async def test_each_test_event_has_an_id_of_its_own(client: httpx.AsyncClient) -> None:
    async with subscriber(reply(200)) as served:
        made = await register(client, url=served.url)
        ids = [(await client.post(f"{made['path']}/test")).json()["event"] for _ in range(2)]
    assert ids[0] != ids[1]


async def test_while_secrets_change_both_verify_a_test_event(client: httpx.AsyncClient) -> None:
    async with subscriber(reply(200)) as served:
        made = await register(client, url=served.url)
        newer = (await client.post(f"{made['path']}/rotate")).json()
        await client.post(f"{made['path']}/test")
        headers, body = received(served)
    for secret in (newer["secret"], made["secret"]):
        Webhook(secret).verify(body, headers)


async def test_an_answer_that_is_no_success_is_shown(client: httpx.AsyncClient) -> None:
    async with subscriber(reply(500, b"no such table", "X-Node: 7")) as served:
        made = await register(client, url=served.url)
        result = (await client.post(f"{made['path']}/test")).json()
    assert not result["delivered"]
    attempt = result["attempt"]
    assert (attempt["outcome"], attempt["status"]) == ("http_5xx", 500)
    assert attempt["excerpt"] == "no such table"
    assert attempt["response_headers"]["x-node"] == "7"


async def test_a_test_event_is_no_delivery_and_counts_for_nothing(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    async with subscriber(reply(500)) as served:
        made = await register(client, url=served.url)
        await client.post(f"{made['path']}/test")
    shown = (await client.get(made["path"])).json()
    assert shown["health"] == made["health"]
    page = await resources.deliveries.page(DeliveryQuery("acme", list(DeliveryState)))
    assert page.deliveries == []


@pytest.mark.parametrize("answer", [reply(410), reply(200, b"", "Webhook-Delivery: disable")])
async def test_an_answer_that_would_disable_does_not_but_says_so(
    client: httpx.AsyncClient, answer: bytes
) -> None:
    async with subscriber(answer) as served:
        made = await register(client, url=served.url)
        result = (await client.post(f"{made['path']}/test")).json()
    assert "disables the endpoint" in result["attempt"]["hint"]
    assert (await client.get(made["path"])).json()["disabled_at"] is None


async def test_a_redirect_is_named_with_the_way_out(client: httpx.AsyncClient) -> None:
    async with subscriber(reply(301, b"", "Location: https://video.example.com/new")) as served:
        made = await register(client, url=served.url)
        result = (await client.post(f"{made['path']}/test")).json()
        assert len(served.requests) == 1
    assert result["attempt"]["outcome"] == "http_3xx"
    assert "https://video.example.com/new" in result["attempt"]["hint"]


async def test_an_endpoint_where_nobody_listens_is_an_attempt_too(client: httpx.AsyncClient) -> None:
    async with subscriber(reply(200)) as served:
        url = served.url
    made = await register(client, url=url)
    answer = await client.post(f"{made['path']}/test")
    assert answer.status_code == 200
    result = parsed(schemas.TestResult, answer.content)
    assert (result["delivered"], result["attempt"]["status"]) == (False, None)
    assert result["attempt"]["outcome"] == "connection_refused"


async def test_a_disabled_endpoint_can_be_tested_before_it_is_enabled(client: httpx.AsyncClient) -> None:
    async with subscriber(reply(200)) as served:
        made = await register(client, url=served.url)
        await client.patch(made["path"], json={"disabled": True})
        assert (await client.post(f"{made['path']}/test")).json()["delivered"]


async def test_one_test_of_an_endpoint_is_under_way_at_a_time(client: httpx.AsyncClient) -> None:
    open_now = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await open_now.wait()
        writer.write(reply(200))
        await writer.drain()

    async with subscriber(hold) as served, subscriber(reply(200)) as other:
        made = await register(client, url=served.url)
        beside = await register(client, url=other.url)
        first = asyncio.create_task(client.post(f"{made['path']}/test"))
        await served.asked.wait()
        second = await client.post(f"{made['path']}/test")
        assert second.status_code == 409
        assert "wait for its result" in second.json()["detail"]
        assert (await client.post(f"{beside['path']}/test")).status_code == 200
        open_now.set()
        assert (await first).json()["delivered"]
        assert (await client.post(f"{made['path']}/test")).json()["delivered"]
        assert len(served.requests) == 2


async def test_without_the_key_of_its_secret_nothing_is_sent_and_the_way_out_is_named(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    async with subscriber(reply(200)) as served:
        name = resources.environment.new_endpoint_id()
        endpoint = Endpoint(name, "acme", served.url, (), "gone", 1_700_000_000_000)
        await resources.endpoints.create(endpoint, 50)
        answer = await client.post(f"/v1/endpoints/{name}/test")
        assert answer.status_code == 409
        assert f"POST /v1/endpoints/{name}/rotate" in answer.json()["detail"]
        assert served.requests == []
        await client.post(f"/v1/endpoints/{name}/rotate")
        assert (await client.post(f"/v1/endpoints/{name}/test")).json()["delivered"]
