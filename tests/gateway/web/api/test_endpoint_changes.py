"""Changing an endpoint, disabling and enabling it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.dispatch import Role
from gateway.endpoints import Endpoint
from gateway.lifecycle import DeliveryState
from gateway.resources import Resources
from gateway.store.delivery_base import Written
from gateway.store.endpoints import RedisEndpointStore
from gateway.web.schemas import endpoints as schemas
from tests.gateway.web.api.registering import URL, keep, known, look_up_by, mixed, register, unknown
from tests.gateway.web.parsing import parsed

EVERYTHING: dict[str, Any] = {
    "url": URL,
    "events": ["job.completed"],
    "description": "ours",
    "headers": {"X-Team": "video"},
    "schedule": [5.0, 60.0],
    "slots": 2,
}


@pytest.fixture(autouse=True)
def names(app: Starlette) -> None:
    look_up_by(app, known)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"url": "https://other.example.com/"},
        {"events": ["*"]},
        {"description": ""},
        {"headers": {}},
        {"schedule": [7.0]},
        {"schedule": None},
        {"slots": 9},
        {"slots": None},
        {"description": "theirs", "slots": 1},
    ],
    ids=str,
)
async def test_what_is_named_changes_and_all_else_stays(
    client: httpx.AsyncClient, changes: dict[str, Any]
) -> None:
    made = await register(client, **EVERYTHING)
    answer = await client.patch(made["path"], json=changes)
    assert answer.status_code == 200
    parsed(schemas.ChangedEndpoint, answer.content)
    shown = (await client.get(made["path"])).json()
    assert {**shown, "warnings": []} == answer.json()
    masked = {"headers": dict.fromkeys(made["headers"], "********")}
    assert shown == {name: value for name, value in made.items() if name in shown} | masked | changes
    assert "whsec" not in answer.text


async def test_no_events_named_means_those_of_the_end_again(client: httpx.AsyncClient) -> None:
    made = await register(client, events=["job.queued"])
    changed = (await client.patch(made["path"], json={"events": []})).json()
    assert changed["events"] == ["job.completed", "job.failed", "job.canceled", "job.late_result"]


async def test_the_secret_stays_the_same(client: httpx.AsyncClient, resources: Resources) -> None:
    made = await register(client)
    before = await resources.endpoints.read("acme", made["id"])
    await client.patch(made["path"], json={"url": "https://other.example.com/"})
    after = await resources.endpoints.read("acme", made["id"])
    assert before is not None
    assert after is not None
    assert (after.kid, after.version, after.previous) == (before.kid, before.version, before.previous)


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"url": None}, "url", "wrong_type"),
        ({"url": "http://10.0.0.1/"}, "url", "address_refused"),
        ({"events": None}, "events", "wrong_type"),
        ({"events": ["job.done"]}, "events[0]", "not_one_of"),
        ({"headers": {"host": "x"}}, "headers[host]", "wrong_form"),
        ({"schedule": [0]}, "schedule[0]", "out_of_range"),
        ({"slots": 51}, "slots", "out_of_range"),
        ({"disabled": None}, "disabled", "wrong_type"),
        ({"disabled": "false"}, "disabled", "wrong_type"),
        ({"id": "ep_1"}, "id", "unknown_parameter"),
        ({"secret": "whsec_x"}, "secret", "unknown_parameter"),
    ],
)
async def test_a_wrong_change_changes_nothing(
    client: httpx.AsyncClient, changes: dict[str, Any], param: str, code: str
) -> None:
    made = await register(client, **EVERYTHING)
    before = (await client.get(made["path"])).json()
    answer = await client.patch(made["path"], json={"description": "theirs", **changes})
    assert answer.status_code == 422
    assert [(error["param"], error["code"]) for error in answer.json()["errors"]] == [(param, code)]
    assert (await client.get(made["path"])).json() == before


async def test_a_new_url_is_looked_up_and_one_that_stays_is_not(
    app: Starlette, client: httpx.AsyncClient
) -> None:
    made = await register(client)
    look_up_by(app, mixed)
    assert (await client.patch(made["path"], json={"url": "https://other.example.com/"})).status_code == 422
    assert (await client.patch(made["path"], json={"description": "theirs"})).status_code == 200
    look_up_by(app, unknown)
    changed = (await client.patch(made["path"], json={"url": "https://other.example.com/"})).json()
    assert [warning["code"] for warning in changed["warnings"]] == ["name_unknown"]


async def test_an_endpoint_is_disabled_and_enabled(client: httpx.AsyncClient, resources: Resources) -> None:
    made = await register(client)
    disabled = (await client.patch(made["path"], json={"disabled": True})).json()
    assert disabled["disabled_at"] >= made["created_at"]
    assert disabled["disabled_reason"] == "its owner disabled it"
    assert disabled["health"]["status"] == "disabled"
    enabled = (await client.patch(made["path"], json={"disabled": False})).json()
    assert (enabled["disabled_at"], enabled["disabled_reason"]) == (None, None)
    assert enabled["health"]["status"] == "ok"
    found = await resources.endpoints.read("acme", made["id"])
    assert found is not None
    assert found.disabled_at is None


async def test_an_endpoint_that_is_disabled_again_keeps_when_and_why(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    made = await register(client)
    found = await resources.endpoints.read("acme", made["id"])
    assert found is not None
    await resources.endpoints.disable(found, "answered 410 Gone", 1_700_000_000_000)
    for changes in ({"disabled": True}, {"description": "theirs"}):
        shown = (await client.patch(made["path"], json=changes)).json()
        assert shown["disabled_at"] == "2023-11-14T22:13:20.000Z"
        assert shown["disabled_reason"] == "answered 410 Gone"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"disabled": False}, "ok"),
        ({"url": "https://other.example.com/"}, "ok"),
        ({"url": URL}, "paused"),
        ({"description": "theirs"}, "paused"),
    ],
    ids=str,
)
async def test_a_paused_endpoint_resumes_when_it_is_enabled_or_moved(
    client: httpx.AsyncClient, resources: Resources, changes: dict[str, Any], status: str
) -> None:
    made = await register(client)
    await resources.lanes.pause(Role.DELIVER, made["id"], 600_000)
    assert (await client.patch(made["path"], json=changes)).json()["health"]["status"] == status


async def test_what_waits_of_an_endpoint_that_is_disabled_is_not_left_paused(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    made = await register(client)
    await resources.lanes.pause(Role.DELIVER, made["id"], 600_000)
    await client.patch(made["path"], json={"disabled": True})
    assert not (await resources.lanes.health(made["id"])).paused


async def test_enabling_shows_what_is_held_and_how_to_get_it(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    made = await register(client)
    await client.patch(made["path"], json={"disabled": True})
    await keep(resources, made["id"], DeliveryState.HELD, 12)
    enabled = (await client.patch(made["path"], json={"disabled": False})).json()
    (warning,) = enabled["warnings"]
    assert (warning["param"], warning["code"]) == ("disabled", "deliveries_held")
    assert warning["message"].startswith("12 deliveries")
    assert f"POST {made['path']}/recover" in warning["message"]
    assert enabled["health"]["held"] == 12
    # It was enabled already: nothing that the client does not know.
    assert (await client.patch(made["path"], json={"disabled": False})).json()["warnings"] == []


async def test_nothing_is_said_of_held_deliveries_where_there_are_none(client: httpx.AsyncClient) -> None:
    made = await register(client)
    await client.patch(made["path"], json={"disabled": True})
    assert (await client.patch(made["path"], json={"disabled": False})).json()["warnings"] == []


async def test_a_change_that_waits_for_a_lookup_does_not_undo_what_happens_meanwhile(
    app: Starlette, client: httpx.AsyncClient, resources: Resources
) -> None:
    made = await register(client)
    found = await resources.endpoints.read("acme", made["id"])
    assert found is not None

    async def slow(name: str, port: int) -> list[str]:
        await resources.endpoints.disable(found, "answered 410 Gone", 1_700_000_000_000)
        return ["127.0.0.1"]

    look_up_by(app, slow)
    changed = (await client.patch(made["path"], json={"url": "https://other.example.com/"})).json()
    assert changed["disabled_reason"] == "answered 410 Gone"


@pytest.mark.parametrize(("method", "suffix"), [("PATCH", ""), ("POST", "/rotate")])
async def test_an_endpoint_that_is_deleted_meanwhile_does_not_come_back(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, method: str, suffix: str
) -> None:
    made = await register(client)
    change = RedisEndpointStore.change

    async def late(self: RedisEndpointStore, *given: Endpoint, heal: bool) -> Written:
        await self.delete(given[0])
        return await change(self, *given, heal=heal)

    monkeypatch.setattr(RedisEndpointStore, "change", late)
    assert (await client.request(method, made["path"] + suffix, json={})).status_code == 404
    assert (await client.get(made["path"])).status_code == 404
    assert (await client.get("/v1/endpoints")).json()["data"] == []


@pytest.mark.parametrize(("method", "suffix"), [("PATCH", ""), ("POST", "/rotate")])
async def test_a_change_that_was_overtaken_is_made_again_upon_the_other(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, method: str, suffix: str
) -> None:
    """A rotation, or a subscriber's 410, must not be undone by who read the endpoint before it."""
    made = await register(client)
    change = RedisEndpointStore.change
    overtaken: list[Endpoint] = []

    async def late(self: RedisEndpointStore, after: Endpoint, before: Endpoint, *, heal: bool) -> Written:
        if not overtaken:
            overtaken.append(before)
            await self.disable(before, "answered 410 Gone", 5)
        return await change(self, after, before, heal=heal)

    monkeypatch.setattr(RedisEndpointStore, "change", late)
    body = {"description": "theirs"} if method == "PATCH" else {}
    answer = await client.request(method, made["path"] + suffix, json=body)
    assert answer.status_code == 200
    assert answer.json()["disabled_reason"] == "answered 410 Gone"
