"""An endpoint recovers what it did not get, and sees how far that came."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.endpoints import Endpoint
from gateway.lifecycle import DeliveryState
from gateway.recoveries import Recovery
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.tenants import Scope
from gateway.web.schemas import deliveries
from tests.gateway.store.redelivering import Post
from tests.gateway.web.conftest import MakeKey, add_key, connected, serving
from tests.gateway.web.parsing import parsed

DAY_MS = 86_400_000
ONE = Endpoint("ep_" + "1" * 26, "acme", "https://one.example.com/hook", (), "k1", 1)
PATH = f"/v1/endpoints/{ONE.id}/recover"
LIST = f"/v1/endpoints/{ONE.id}/recoveries"
NO_SUCH = "rec_" + "0" * 26


@pytest.fixture
async def post(client: httpx.AsyncClient, resources: Resources) -> Post:
    """After the client, whose server is empty."""
    await resources.endpoints.create(ONE, 50)
    return Post(resources.redis, resources.jobs, resources.deliveries, resources.endpoints)


def ago(resources: Resources, ms: int) -> str:
    at = datetime.fromtimestamp((resources.environment.now_ms() - ms) / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def test_what_was_not_delivered_is_recovered_in_the_background(
    client: httpx.AsyncClient, post: Post, resources: Resources
) -> None:
    now = resources.environment.now_ms()
    before, owed, kept = [await post.owe(at) for at in (now - 3000, now - 2000, now - 1000)]
    for one, became in ((before, "dead"), (owed, "dead"), (kept, "held")):
        await post.attempt(one, became)
    answer = await client.post(PATH, json={"since": ago(resources, 2500)})
    assert answer.status_code == 202
    begun = parsed(deliveries.Recovery, answer.content)
    assert answer.headers["location"] == f"/v1/recoveries/{begun['id']}"
    assert (begun["state"], begun["total"], begun["done"], begun["endpoint"]) == ("running", 2, 0, ONE.id)
    assert (begun["states"], begun["until"]) == (["dead", "held"], begun["created_at"])
    step = await resources.recoveries.advance(begun["id"])
    assert (step.moved, step.over) == (2, True)
    shown = parsed(deliveries.Recovery, (await client.get(answer.headers["location"])).content)
    assert (shown["state"], shown["total"], shown["done"], shown["reason"]) == ("done", 2, 2, None)
    assert shown["finished_at"] is not None
    listed = parsed(deliveries.RecoveryList, (await client.get(LIST)).content)
    assert listed["data"] == [shown]
    states = [(await post.read(one)).state for one in (before, owed, kept)]
    assert states == ["dead", "pending", "pending"]
    found = (await client.get(f"/v1/deliveries/{owed.id}")).json()
    assert (found["trigger"], found["attempts_before"]) == ("recovery", 1)


async def test_both_ends_and_the_states_are_as_they_were_sent(
    client: httpx.AsyncClient, post: Post, resources: Resources
) -> None:
    since, until = ago(resources, 5000), ago(resources, 1000)
    answer = await client.post(PATH, json={"since": since, "until": until, "states": ["held", "held"]})
    found = answer.json()
    assert (found["since"], found["until"], found["states"]) == (since, until, ["held"])


async def test_a_time_may_have_any_offset(
    client: httpx.AsyncClient, post: Post, resources: Resources
) -> None:
    at = datetime.fromtimestamp((resources.environment.now_ms() - 7_200_000) // 1000, UTC)
    local = at.replace(tzinfo=None).isoformat() + "-05:30"
    answer = await client.post(PATH, json={"since": local})
    assert answer.status_code == 422  # five and a half hours later, which is in the future
    assert "in the future" in answer.json()["errors"][0]["message"]
    local = at.replace(tzinfo=None).isoformat() + ".1239+05:30"
    answer = await client.post(PATH, json={"since": local})
    seconds = at.timestamp() - 5.5 * 3600
    assert answer.json()["since"] == f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.123Z"


async def test_an_end_that_is_yet_to_come_is_now(
    client: httpx.AsyncClient, post: Post, resources: Resources
) -> None:
    answer = await client.post(PATH, json={"since": ago(resources, 1000), "until": ago(resources, -60_000)})
    assert answer.status_code == 202
    assert answer.json()["until"] == answer.json()["created_at"]


@pytest.mark.parametrize(
    ("body", "param", "code", "message"),
    [
        ({}, "since", "required", "is required; send a time with its offset such as"),
        ({"since": None}, "since", "wrong_type", "send a time with its offset"),
        ({"since": 1_795_334_400}, "since", "wrong_type", "send a time with its offset"),
        ({"since": "yesterday"}, "since", "wrong_form", "send a time with its offset"),
        ({"since": "2026-11-22T08:00:00"}, "since", "wrong_form", "with its offset"),
        ({"since": "2026-11-22"}, "since", "wrong_form", "with its offset"),
        ({"since": "2026-02-30T08:00:00Z"}, "since", "wrong_form", "there is no such time"),
        ({"since": "2026-11-22T08:00:00+25:00"}, "since", "wrong_form", "there is no such time"),
        ({"since": "1990-01-01T00:00:00Z"}, "since", "out_of_range", "is too long ago; send 20"),
        ({"since": "9990-01-01T00:00:00Z"}, "since", "out_of_range", "is in the future"),
        ({"since": "AGO", "until": "1990-01-01T00:00:00Z"}, "until", "out_of_range", "is before since"),
        ({"since": "AGO", "until": 1}, "until", "wrong_type", "send a time with its offset"),
        ({"since": "AGO", "states": []}, "states", "too_few", "leave states out"),
        ({"since": "AGO", "states": ["dead"] * 3}, "states", "too_many", "each once"),
        ({"since": "AGO", "states": ["pending"]}, "states[0]", "not_one_of", "dead"),
        ({"since": "AGO", "states": [1]}, "states[0]", "wrong_type", 'send an array of "dead"'),
        ({"since": "AGO", "states": "dead"}, "states", "wrong_type", 'send an array of "dead"'),
        ({"since": "AGO", "sinse": 1}, "sinse", "unknown_parameter", "did you mean since?"),
        ({"since": "AGO", "zzz": 1}, "zzz", "unknown_parameter", "are since, until, states"),
        ([], "", "not_an_object", "send one JSON object"),
    ],
)
async def test_a_wrong_wish_is_refused_with_what_to_send_instead(
    client: httpx.AsyncClient,
    post: Post,
    resources: Resources,
    body: Any,
    param: str,
    code: str,
    message: str,
) -> None:
    if isinstance(body, dict) and body.get("since") == "AGO":
        body = {**body, "since": ago(resources, 1000)}
    answer = await client.post(PATH, json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["param"], error["code"]) == (param, code)
    assert message in error["message"]
    assert (await client.get(LIST)).json()["data"] == []


async def test_every_fault_is_named_at_once(client: httpx.AsyncClient, post: Post) -> None:
    answer = await client.post(PATH, json={"until": "x", "states": [], "sinse": 1})
    assert [error["param"] for error in answer.json()["errors"]] == ["since", "until", "states", "sinse"]
    answer = await client.post(PATH, json={"since": "1990-01-01T00:00:00Z", "until": "1989-01-01T00:00:00Z"})
    assert [error["param"] for error in answer.json()["errors"]] == ["since", "until"]
    answer = await client.post(PATH, json={"since": "2026-02-30T00:00:00Z", "until": "2026-02-30T00:00:00Z"})
    assert [error["param"] for error in answer.json()["errors"]] == ["since", "until"]


@pytest.mark.parametrize("days", [3, 30])
async def test_it_reaches_back_fourteen_days_or_as_far_as_jobs_are_kept(
    settings: Settings, resources: Resources, days: int
) -> None:
    await resources.endpoints.create(ONE, 50)
    kept = settings.model_copy(update={"retention_seconds": days * 86_400.0})
    most = min(days, 14) * DAY_MS
    async with serving(kept) as app, connected(app, await add_key(resources, "acme")) as client:
        too_long = await client.post(PATH, json={"since": ago(resources, most + 60_000)})
        assert too_long.status_code == 422
        assert (await client.post(PATH, json={"since": ago(resources, most - 60_000)})).status_code == 202


async def test_one_runs_at_a_time(client: httpx.AsyncClient, post: Post, resources: Resources) -> None:
    since = {"since": ago(resources, 1000)}
    begun = (await client.post(PATH, json=since)).json()
    answer = await client.post(PATH, json=since)
    assert answer.status_code == 409
    assert f"GET {LIST}" in answer.json()["detail"]
    assert (await resources.recoveries.advance(begun["id"])).over
    assert (await client.post(PATH, json=since)).status_code == 202


async def test_a_disabled_endpoint_is_a_conflict_that_names_the_way_out(
    client: httpx.AsyncClient, post: Post, resources: Resources
) -> None:
    owed = await post.attempt(await post.owe(resources.environment.now_ms()), "held")
    await post.endpoints.disable(ONE, "answered 410 Gone", 5)
    since = {"since": ago(resources, 60_000)}
    answer = await client.post(PATH, json=since)
    assert answer.status_code == 409
    assert f'PATCH /v1/endpoints/{ONE.id} with {{"disabled": false}}' in answer.json()["detail"]
    assert (await client.patch(f"/v1/endpoints/{ONE.id}", json={"disabled": False})).status_code == 200
    begun = await client.post(PATH, json=since)
    assert begun.status_code == 202
    assert (await resources.recoveries.advance(begun.json()["id"])).moved == 1
    assert (await post.read(owed)).state is DeliveryState.PENDING


async def test_one_that_was_cut_off_says_why(
    client: httpx.AsyncClient, post: Post, resources: Resources
) -> None:
    begun = (await client.post(PATH, json={"since": ago(resources, 1000)})).json()
    await post.endpoints.delete(ONE)
    assert (await resources.recoveries.advance(begun["id"])).over
    shown = (await client.get(f"/v1/recoveries/{begun['id']}")).json()
    assert (shown["state"], shown["reason"]) == ("canceled", "the endpoint was deleted")


async def test_another_tenant_s_are_404(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, post: Post, resources: Resources
) -> None:
    since = {"since": ago(resources, 1000)}
    assert (await stranger.post(PATH, json=since)).status_code == 404
    assert (await client.get(LIST)).json()["data"] == []
    begun = (await client.post(PATH, json=since)).json()
    for path in (LIST, f"/v1/recoveries/{begun['id']}", f"/v1/recoveries/{NO_SUCH}", "/v1/recoveries/rec_1"):
        assert (await stranger.get(path)).status_code == 404
    assert (await client.post(PATH.replace("1", "2"), json=since)).status_code == 404


async def test_who_may_read_and_who_may_recover(
    app: Starlette, post: Post, resources: Resources, make_key: MakeKey
) -> None:
    now = resources.environment.now_ms()
    begun = Recovery("rec_" + "1" * 26, "acme", ONE.id, now - 1000, now, now)
    await resources.recoveries.begin(begun)
    for scope, may_look, may_act in (
        (Scope.JOBS_READ, 200, 403),
        (Scope.ENDPOINTS_WRITE, 200, 409),
        (Scope.JOBS_WRITE, 403, 403),
    ):
        async with connected(app, await make_key("acme", [scope])) as one:
            for path in (LIST, f"/v1/recoveries/{begun.id}"):
                assert (await one.get(path)).status_code == may_look
            since = {"since": ago(resources, 1000)}
            assert (await one.post(PATH, json=since)).status_code == may_act
