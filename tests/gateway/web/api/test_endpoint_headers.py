"""The values of an endpoint's headers: shown once, masked later, and never in clear in Redis."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from starlette.applications import Starlette

from gateway.delivery import sealing
from gateway.keyring import Keyring
from gateway.resources import Resources
from gateway.store import keys
from tests.gateway.delivery.subscriber import reply, subscriber
from tests.gateway.web.api.registering import known, look_up_by, register

SECRET = "Bearer canary-5d1e"
HEADERS = {"X-Team": "video", "Authorization": SECRET}
MASKED = dict.fromkeys(HEADERS, "********")


@pytest.fixture(autouse=True)
def names(app: Starlette) -> None:
    look_up_by(app, known)


async def stored(resources: Resources, endpoint_id: str) -> str:
    """The record of the endpoint as text."""
    return repr(await resources.redis.hgetall(keys.endpoint(endpoint_id)))  # type: ignore[misc]


async def test_values_are_shown_once_and_not_in_redis(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    made = await register(client, headers=HEADERS)
    assert made["headers"] == HEADERS
    assert (await client.get(made["path"])).json()["headers"] == MASKED
    assert (await client.get("/v1/endpoints")).json()["data"][0]["headers"] == MASKED
    assert (await client.post(f"{made['path']}/rotate")).json()["headers"] == MASKED
    assert (await client.patch(made["path"], json={"description": "x"})).json()["headers"] == MASKED
    changed = await client.patch(made["path"], json={"headers": {"X-Key": SECRET}})
    assert changed.json()["headers"] == {"X-Key": SECRET}
    assert "canary" not in await stored(resources, made["id"])


async def test_a_mask_is_not_taken_for_a_value(client: httpx.AsyncClient) -> None:
    made = await register(client, headers=HEADERS)
    shown = (await client.get(made["path"])).json()["headers"]
    answer = await client.patch(made["path"], json={"headers": shown})
    assert answer.status_code == 422
    params = [error["param"] for error in answer.json()["errors"]]
    assert params == ["headers[X-Team]", "headers[Authorization]"]
    assert "leave headers out" in answer.text


async def test_values_in_clear_are_encrypted_by_the_next_write(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    made = await register(client)
    before = await resources.endpoints.read("acme", made["id"])
    assert before is not None
    await resources.endpoints.change(replace(before, headers=HEADERS), before)
    assert "canary" in await stored(resources, made["id"])
    assert (await client.get(made["path"])).json()["headers"] == MASKED
    await client.patch(made["path"], json={"description": "x"})
    after = await resources.endpoints.read("acme", made["id"])
    assert after is not None
    assert (after.headers, sealing.headers_of(resources.keyring, after)) == ({}, HEADERS)
    assert "canary" not in await stored(resources, made["id"])


async def test_a_test_event_carries_the_values(client: httpx.AsyncClient, app: Starlette) -> None:
    async with subscriber(reply(200)) as served:
        made = await register(client, url=served.url, headers=HEADERS)
        result = (await client.post(f"{made['path']}/test")).json()
    assert result["delivered"]
    assert f"Authorization: {SECRET}".encode() in served.requests[0][0]
    assert SECRET not in str(result)


async def test_a_test_without_the_key_says_what_to_do(
    client: httpx.AsyncClient, app: Starlette, resources: Resources
) -> None:
    made = await register(client, headers=HEADERS)
    before = await resources.endpoints.read("acme", made["id"])
    assert before is not None
    lost = sealing.with_headers(Keyring({"gone": b"g" * 32}), before, HEADERS)
    await resources.endpoints.change(lost, before)
    answer = await client.post(f"{made['path']}/test")
    assert answer.status_code == 409
    assert "no key gone" in answer.json()["detail"]
    assert (await client.patch(made["path"], json={"description": "x"})).status_code == 200
    await client.patch(made["path"], json={"headers": HEADERS})
    found = await resources.endpoints.read("acme", made["id"])
    assert found is not None
    assert sealing.headers_of(resources.keyring, found) == HEADERS
