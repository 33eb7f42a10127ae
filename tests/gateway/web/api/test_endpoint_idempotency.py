"""An Idempotency-Key at the registration of an endpoint."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.resources import Resources
from gateway.store import keys
from gateway.web.api.endpoints import MAX_ENDPOINTS
from tests.gateway.web.api.registering import URL, known, look_up_by, mixed, register

KEY = {"Idempotency-Key": "hook-1"}
BODY: dict[str, Any] = {"url": URL, "events": ["*"], "headers": {"X-Key": "canary-77"}, "slots": 2}


@pytest.fixture(autouse=True)
def names(app: Starlette) -> None:
    look_up_by(app, known)


async def test_the_same_key_and_body_get_the_same_answer(client: httpx.AsyncClient) -> None:
    first = await client.post("/v1/endpoints", json=BODY, headers=KEY)
    again = await client.post("/v1/endpoints", json=dict(reversed(BODY.items())), headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len((await client.get("/v1/endpoints")).json()["data"]) == 1


@pytest.mark.parametrize("change", [{"slots": 3}, {"headers": {"X-Key": "canary-78"}}, {"url": URL + "?a"}])
async def test_the_same_key_with_another_body_is_refused(
    client: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    first = await client.post("/v1/endpoints", json=BODY, headers=KEY)
    answer = await client.post("/v1/endpoints", json=BODY | change, headers=KEY)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert (error["param"], error["code"]) == ("Idempotency-Key", "idempotency_mismatch")
    assert first.json()["id"] in error["message"]
    assert "secret" not in answer.json()


async def test_of_many_at_once_one_is_made(client: httpx.AsyncClient) -> None:
    posts = [client.post("/v1/endpoints", json=BODY, headers=KEY) for _ in range(8)]
    answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert [answer.headers.get("idempotent-replayed") for answer in answers].count(None) == 1


async def test_without_a_key_and_for_another_tenant_it_is_another_endpoint(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    made = await client.post("/v1/endpoints", json=BODY, headers=KEY)
    more = await client.post("/v1/endpoints", json=BODY)
    theirs = await stranger.post("/v1/endpoints", json=BODY, headers=KEY)
    assert len({answer.json()["id"] for answer in (made, more, theirs)}) == 3


async def test_a_replay_needs_neither_room_nor_a_name(app: Starlette, client: httpx.AsyncClient) -> None:
    first = await client.post("/v1/endpoints", json=BODY, headers=KEY)
    for _ in range(MAX_ENDPOINTS - 1):
        await register(client)
    look_up_by(app, mixed)
    again = await client.post("/v1/endpoints", json=BODY, headers=KEY)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])


async def test_a_replay_shows_the_endpoint_as_it_is_now(client: httpx.AsyncClient) -> None:
    made = (await client.post("/v1/endpoints", json=BODY, headers=KEY)).json()
    path = f"/v1/endpoints/{made['id']}"
    rotated = (await client.post(f"{path}/rotate")).json()
    await client.patch(path, json={"headers": {"X-Key": "other"}, "slots": 5})
    again = (await client.post("/v1/endpoints", json=BODY, headers=KEY)).json()
    assert (again["secret"], again["slots"]) == (rotated["secret"], 5)
    assert again["headers"] == {"X-Key": "********"}


async def test_the_key_of_a_deleted_endpoint_is_free(client: httpx.AsyncClient, resources: Resources) -> None:
    made = (await client.post("/v1/endpoints", json=BODY, headers=KEY)).json()
    await client.delete(f"/v1/endpoints/{made['id']}")
    assert await resources.redis.exists(keys.tenant_endpoint_keys("acme")) == 0
    again = await client.post("/v1/endpoints", json=BODY | {"slots": 7}, headers=KEY)
    assert again.status_code == 201
    assert again.json()["id"] != made["id"]


async def test_nothing_that_was_sent_is_in_redis(client: httpx.AsyncClient, resources: Resources) -> None:
    made = (await client.post("/v1/endpoints", json=BODY, headers=KEY)).json()
    record = repr(await resources.redis.hgetall(keys.endpoint(made["id"])))  # type: ignore[misc]
    stored = repr(await resources.redis.hgetall(keys.tenant_endpoint_keys("acme")))  # type: ignore[misc]
    assert not any(text in record + stored for text in ("hook-1", "canary", made["secret"]))


@pytest.mark.parametrize("key", ["", "x" * 256, "two words"])
async def test_a_wrong_key_is_refused_by_its_name(client: httpx.AsyncClient, key: str) -> None:
    answer = await client.post("/v1/endpoints", json=BODY, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert [error["param"] for error in answer.json()["errors"]] == ["Idempotency-Key"]
