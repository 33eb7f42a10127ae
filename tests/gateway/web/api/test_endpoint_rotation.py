"""Giving an endpoint a new secret, while the one before is still good for a time."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.delivery.secrets import signing_secrets
from gateway.endpoints import Endpoint
from gateway.resources import Resources
from gateway.web.api.endpoint_changes import MAX_OLDER_SECRETS
from gateway.web.schemas import endpoints as schemas
from tests.gateway.web.api.registering import URL, known, look_up_by, register
from tests.gateway.web.parsing import parsed

DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def names(app: Starlette) -> None:
    look_up_by(app, known)


async def rotated(client: httpx.AsyncClient, made: dict[str, Any], seconds: int) -> dict[str, Any]:
    answer = await client.post(f"{made['path']}/rotate", json={"overlap_seconds": seconds})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def stored(resources: Resources, made: dict[str, Any]) -> Endpoint:
    found = await resources.endpoints.read("acme", made["id"])
    assert found is not None
    return found


@pytest.mark.parametrize("body", [None, {}, {"overlap_seconds": 86_400}], ids=str)
async def test_a_new_secret_is_shown_once_and_the_one_before_signs_for_a_day(
    client: httpx.AsyncClient, resources: Resources, body: dict[str, Any] | None
) -> None:
    made = await register(client)
    begun = int(time.time() * 1000)
    answer = await client.post(f"{made['path']}/rotate", json=body)
    assert answer.status_code == 200
    shown = parsed(schemas.RotatedEndpoint, answer.content)
    assert shown["secret"] != made["secret"]
    endpoint = await stored(resources, made)
    signing = signing_secrets(resources.keyring, endpoint, int(time.time() * 1000))
    assert signing == [shown["secret"], made["secret"]]
    (older,) = endpoint.previous
    assert begun + DAY_MS <= older.until <= int(time.time() * 1000) + DAY_MS
    assert len(shown["older_secrets"]) == 1
    assert "whsec" not in (await client.get(made["path"])).text


async def test_a_secret_never_comes_again(client: httpx.AsyncClient) -> None:
    made = await register(client)
    shown = [made["secret"], *[(await rotated(client, made, 0))["secret"] for _ in range(4)]]
    assert len(set(shown)) == 5


async def test_with_no_overlap_none_but_the_new_secret_signs(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    made = await register(client)
    await rotated(client, made, 604_800)
    shown = await rotated(client, made, 0)
    assert shown["older_secrets"] == []
    signing = signing_secrets(resources.keyring, await stored(resources, made), int(time.time() * 1000))
    assert signing == [shown["secret"]]


async def test_older_secrets_end_with_the_overlap_or_sooner(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    made = await register(client)
    await rotated(client, made, 60)
    await rotated(client, made, 604_800)
    await rotated(client, made, 3600)
    newest, middle, oldest = (secret.until for secret in (await stored(resources, made)).previous)
    assert newest == middle
    assert oldest < newest
    assert newest <= int(time.time() * 1000) + 3_600_000


async def test_so_many_older_secrets_sign_and_no_more(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    made = await register(client)
    for _ in range(MAX_OLDER_SECRETS):
        await rotated(client, made, 600)
    before = await stored(resources, made)
    answer = await client.post(f"{made['path']}/rotate", json={"overlap_seconds": 600})
    assert answer.status_code == 409
    assert "overlap_seconds: 0" in answer.json()["detail"]
    assert "whsec" not in answer.text
    assert await stored(resources, made) == before
    assert len(before.previous) == MAX_OLDER_SECRETS
    await rotated(client, made, 0)


async def test_secrets_that_have_expired_do_not_count(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    made = await register(client)
    for _ in range(MAX_OLDER_SECRETS):
        await rotated(client, made, 600)
    endpoint = await stored(resources, made)
    ended = tuple(replace(secret, until=1_700_000_000_000) for secret in endpoint.previous)
    await resources.endpoints.change(replace(endpoint, previous=ended), endpoint)
    assert (await client.get(made["path"])).json()["older_secrets"] == []
    await rotated(client, made, 600)
    assert len((await stored(resources, made)).previous) == 1


async def test_a_secret_of_a_key_that_was_taken_out_is_given_up(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    endpoint = Endpoint(resources.environment.new_endpoint_id(), "acme", URL, (), "gone", 1_700_000_000_000)
    await resources.endpoints.create(endpoint, 50)
    shown = await rotated(client, {"path": f"/v1/endpoints/{endpoint.id}"}, 600)
    assert shown["older_secrets"] == []
    after = await stored(resources, {"id": endpoint.id})
    assert (after.kid, after.version) == (resources.keyring.active_kid, 2)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"overlap_seconds": -1}, "overlap_seconds", "out_of_range"),
        ({"overlap_seconds": 604_801}, "overlap_seconds", "out_of_range"),
        ({"overlap_seconds": "60"}, "overlap_seconds", "wrong_type"),
        ({"overlap_seconds": 1.5}, "overlap_seconds", "wrong_type"),
        ({"overlap_seconds": None}, "overlap_seconds", "wrong_type"),
        ({"overlap": 60}, "overlap", "unknown_parameter"),
        ([], "", "not_an_object"),
    ],
)
async def test_a_wrong_overlap_makes_no_new_secret(
    client: httpx.AsyncClient, resources: Resources, body: object, param: str, code: str
) -> None:
    made = await register(client)
    answer = await client.post(f"{made['path']}/rotate", json=body)
    assert answer.status_code == 422
    assert [(error["param"], error["code"]) for error in answer.json()["errors"]] == [(param, code)]
    assert (await stored(resources, made)).version == 1


async def test_a_body_that_is_no_json_is_not_passed_over(client: httpx.AsyncClient) -> None:
    made = await register(client)
    answer = await client.post(f"{made['path']}/rotate", content="overlap_seconds=0")
    assert answer.status_code == 415
