"""Registering where webhooks go."""

from __future__ import annotations

import asyncio
from typing import get_args

import httpx
import pytest
from starlette.applications import Starlette

from gateway import events
from gateway.delivery.secrets import endpoint_secret
from gateway.dispatch import Role
from gateway.lifecycle import DeliveryState
from gateway.resources import Resources
from gateway.web.api.endpoints import MAX_ENDPOINTS
from gateway.web.schemas import endpoints as schemas
from tests.gateway.web.api.registering import URL, keep, known, look_up_by, mixed, unknown
from tests.gateway.web.parsing import parsed

FINAL = ["job.completed", "job.failed", "job.canceled", "job.late_result"]


@pytest.fixture(autouse=True)
def names(app: Starlette) -> None:
    look_up_by(app, known)


async def test_an_endpoint_is_registered_and_its_secret_shown_once(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    wanted = {"url": URL, "events": ["job.completed"], "description": "ours"}
    answer = await client.post("/v1/endpoints", json=wanted)
    assert answer.status_code == 201
    made = parsed(schemas.CreatedEndpoint, answer.content)
    keyring = resources.keyring
    assert made["secret"] == endpoint_secret(keyring, keyring.active_kid, made["id"], 1)
    assert made["warnings"] == []
    seen = await client.get(answer.headers["location"])
    parsed(schemas.Endpoint, seen.content)
    listed = await client.get("/v1/endpoints")
    assert parsed(schemas.EndpointList, listed.content)["data"][0]["id"] == made["id"]
    for later in (seen.text, listed.text):
        assert made["secret"] not in later
        assert "whsec" not in later


async def test_everything_that_was_asked_for_is_kept_and_shown(client: httpx.AsyncClient) -> None:
    wanted = {
        "url": URL,
        "events": ["job.queued", "job.completed"],
        "description": "ours",
        "headers": {"X-Team": "video", "authorization": "Bearer of-ours"},
        "schedule": [1, 2.5, 604_800],
        "slots": 3,
    }
    made = (await client.post("/v1/endpoints", json=wanted)).json()
    assert {name: made[name] for name in wanted} == wanted
    shown = (await client.get(f"/v1/endpoints/{made['id']}")).json()
    masked = {"headers": {"X-Team": "********", "authorization": "********"}}
    assert {name: shown[name] for name in wanted} == wanted | masked


async def test_what_was_not_asked_for_is_the_services_own(client: httpx.AsyncClient) -> None:
    made = (await client.post("/v1/endpoints", json={"url": URL})).json()
    assert (made["headers"], made["schedule"], made["slots"]) == ({}, None, None)
    assert made["events"] == FINAL
    same = (await client.post("/v1/endpoints", json={"url": URL, "schedule": None, "slots": None})).json()
    assert (same["schedule"], same["slots"]) == (None, None)


async def test_a_schedule_without_waits_is_not_the_services_own(client: httpx.AsyncClient) -> None:
    made = (await client.post("/v1/endpoints", json={"url": URL, "schedule": []})).json()
    assert made["schedule"] == []


@pytest.mark.parametrize("filters", [["*"], ["job.*"], ["job.queued", "*"]])
async def test_filters_are_kept_as_given(client: httpx.AsyncClient, filters: list[str]) -> None:
    made = (await client.post("/v1/endpoints", json={"url": URL, "events": filters})).json()
    assert made["events"] == filters


async def test_a_filter_that_is_given_twice_is_kept_once(client: httpx.AsyncClient) -> None:
    wanted = {"url": URL, "events": ["job.failed", "*", "job.failed"]}
    assert (await client.post("/v1/endpoints", json=wanted)).json()["events"] == ["job.failed", "*"]


def test_every_type_of_event_and_every_wildcard_is_a_filter() -> None:
    assert set(get_args(schemas.Filter)) == {*events.EventType, *events.ALL}


async def test_a_deleted_endpoint_is_gone(client: httpx.AsyncClient) -> None:
    path = (await client.post("/v1/endpoints", json={"url": URL})).headers["location"]
    answer = await client.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await client.get(path)).status_code == 404
    assert (await client.delete(path)).status_code == 404


@pytest.mark.parametrize(
    ("method", "suffix"), [("GET", ""), ("DELETE", ""), ("PATCH", ""), ("POST", "/rotate"), ("POST", "/test")]
)
async def test_a_foreign_endpoint_is_404(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, method: str, suffix: str
) -> None:
    path = (await client.post("/v1/endpoints", json={"url": URL})).headers["location"]
    body: dict[str, str] | None = {} if method == "PATCH" else None
    before = (await client.get(path)).json()
    assert (await stranger.request(method, path + suffix, json=body)).status_code == 404
    assert (await client.get(path)).json() == before
    assert (await stranger.get("/v1/endpoints")).json()["data"] == []


@pytest.mark.parametrize(
    ("body", "param", "code", "message"),
    [
        ({}, "url", "required", 'is required; send a URL such as "https://video.example.com/webhooks"'),
        ({"url": 1}, "url", "wrong_type", "send a URL such as"),
        ({"url": None}, "url", "wrong_type", "null is not accepted; send a URL"),
        ({"url": ""}, "url", "blank", "is empty; send a URL"),
        ({"url": "ftp://example.com"}, "url", "url_scheme", "must start with http:// or https://"),
        ({"url": "https://user:password@example.com/"}, "url", "url_userinfo", "without credentials"),
        ({"url": "https://example.com/#x"}, "url", "url_fragment", "leave it out"),
        ({"url": "http://169.254.169.254/latest"}, "url", "address_refused", "networks"),
        ({"url": "http://10.0.0.1/"}, "url", "address_refused", "networks"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "url", "address_refused", "networks"),
        ({"url": "http://2130706433/"}, "url", "url_host", "four decimal numbers"),
        ({"url": "https://example.com/" + "x" * 2048}, "url", "too_long", "has 2068 characters"),
        ({"url": URL, "events": ["job.complete"]}, "events[0]", "not_one_of", "did you mean job.completed?"),
        ({"url": URL, "events": ["job.q*"]}, "events[0]", "not_one_of", "job.*, *"),
        ({"url": URL, "events": [1]}, "events[0]", "wrong_type", "send one of job.queued, job.submitted"),
        ({"url": URL, "events": "job.completed"}, "events", "wrong_type", "send an array of events"),
        ({"url": URL, "events": None}, "events", "wrong_type", "leave events out, or send an array"),
        ({"url": URL, "events": ["job.failed"] * 9}, "events", "too_many", "9 events; send at most 8"),
        ({"url": URL, "evnts": []}, "evnts", "unknown_parameter", "did you mean events?"),
        ({"url": URL, "zzz": "sesame"}, "zzz", "unknown_parameter", "are url, events, description"),
        ({"url": URL, "disabled": True}, "disabled", "unknown_parameter", "is not a parameter"),
        ({"url": URL, "description": "x" * 257}, "description", "too_long", "has 257 characters; send at"),
        ({"url": URL, "headers": ["sesame"]}, "headers", "wrong_type", "send an object of strings such as"),
        ({"url": URL, "headers": {"X-A": 1}}, "headers[X-A]", "wrong_type", "send a string"),
        ({"url": URL, "headers": {"Bad Name": "x"}}, "headers[Bad Name]", "wrong_form", "not a header name"),
        ({"url": URL, "headers": {"X-A": "a\r\nX: sesame"}}, "headers[X-A]", "wrong_form", "printable"),
        ({"url": URL, "headers": {"Webhook-Id": "x"}}, "headers[Webhook-Id]", "wrong_form", "by the gateway"),
        ({"url": URL, "headers": {"HOST": "x"}}, "headers[HOST]", "wrong_form", "is set by the gateway"),
        ({"url": URL, "headers": {"X-A": "1", "x-a": "2"}}, "headers", "wrong_form", "twice"),
        ({"url": URL, "headers": {"X-A": "x" * 5000}}, "headers", "wrong_form", "has more than 4096 bytes"),
        (
            {"url": URL, "headers": {f"X-{n}": "x" for n in range(21)}},
            *("headers", "too_many", "21 headers; send at most 20"),
        ),
        ({"url": URL, "schedule": "5"}, "schedule", "wrong_type", "an array of seconds"),
        ({"url": URL, "schedule": [5, "6"]}, "schedule[1]", "wrong_type", "seconds from 1 to 604800"),
        ({"url": URL, "schedule": [True]}, "schedule[0]", "wrong_type", "seconds from 1 to 604800"),
        ({"url": URL, "schedule": [0.9]}, "schedule[0]", "out_of_range", "seconds from 1 to 604800"),
        ({"url": URL, "schedule": [1, 604_801]}, "schedule[1]", "out_of_range", "seconds from 1 to 604800"),
        ({"url": URL, "schedule": [1] * 21}, "schedule", "too_many", "21 waits; send at most 20"),
        ({"url": URL, "slots": 0}, "slots", "out_of_range", "a whole number from 1 to 50"),
        ({"url": URL, "slots": 51}, "slots", "out_of_range", "a whole number from 1 to 50"),
        ({"url": URL, "slots": 1.5}, "slots", "wrong_type", "a whole number from 1 to 50"),
        ({"url": URL, "slots": "2"}, "slots", "wrong_type", "a whole number from 1 to 50"),
        ([], "", "not_an_object", "send one JSON object"),
    ],
)
async def test_a_wrong_endpoint_is_refused_with_what_to_send_instead(
    client: httpx.AsyncClient, body: object, param: str, code: str, message: str
) -> None:
    answer = await client.post("/v1/endpoints", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["param"], error["code"]) == (param, code)
    assert message in error["message"]
    assert "sesame" not in answer.text
    assert "password@" not in answer.text
    assert (await client.get("/v1/endpoints")).json()["data"] == []


async def test_every_fault_of_an_endpoint_is_named_at_once(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/endpoints", json={"events": ["x"], "description": 1, "uri": URL})
    assert [error["param"] for error in answer.json()["errors"]] == ["url", "events[0]", "description", "uri"]


async def test_faults_of_the_url_and_of_headers_are_named_with_the_others(client: httpx.AsyncClient) -> None:
    wanted = {"url": "http://10.0.0.1/", "slots": 99, "headers": {"Host": "x", "X-A": 1, "X-B": " "}}
    answer = await client.post("/v1/endpoints", json=wanted)
    found = {error["param"] for error in answer.json()["errors"]}
    assert found == {"url", "slots", "headers[Host]", "headers[X-A]", "headers[X-B]"}


async def test_at_most_twenty_faults_are_named(client: httpx.AsyncClient) -> None:
    wanted = {"url": "ftp://x", "slots": 99, "headers": {f"X {n}": 1 for n in range(30)}}
    answer = await client.post("/v1/endpoints", json=wanted)
    assert len(answer.json()["errors"]) <= 20


async def test_a_name_of_which_one_address_is_forbidden_is_refused(
    app: Starlette, client: httpx.AsyncClient
) -> None:
    look_up_by(app, mixed)
    answer = await client.post("/v1/endpoints", json={"url": URL})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["param"], error["code"]) == ("url", "address_refused")
    assert "10.0.0.1" not in answer.text
    assert (await client.get("/v1/endpoints")).json()["data"] == []


async def test_a_name_that_is_not_there_yet_is_taken_with_a_warning(
    app: Starlette, client: httpx.AsyncClient
) -> None:
    look_up_by(app, unknown)
    answer = await client.post("/v1/endpoints", json={"url": URL})
    assert answer.status_code == 201
    (warning,) = parsed(schemas.CreatedEndpoint, answer.content)["warnings"]
    assert (warning["param"], warning["code"]) == ("url", "name_unknown")


async def test_a_tenant_has_at_most_so_many_endpoints(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    for _ in range(MAX_ENDPOINTS):
        assert (await client.post("/v1/endpoints", json={"url": URL})).status_code == 201
    answer = await client.post("/v1/endpoints", json={"url": URL})
    assert answer.status_code == 409
    assert str(MAX_ENDPOINTS) in answer.json()["detail"]
    assert (await stranger.post("/v1/endpoints", json={"url": URL})).status_code == 201


async def test_two_that_register_at_once_do_not_exceed_the_limit(client: httpx.AsyncClient) -> None:
    for _ in range(MAX_ENDPOINTS - 1):
        await client.post("/v1/endpoints", json={"url": URL})
    answers = await asyncio.gather(*(client.post("/v1/endpoints", json={"url": URL}) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert len((await client.get("/v1/endpoints")).json()["data"]) == MAX_ENDPOINTS


async def test_a_new_endpoint_is_well(client: httpx.AsyncClient) -> None:
    made = (await client.post("/v1/endpoints", json={"url": URL})).json()
    nothing = ("attempts", "failed", "waiting", "in_flight", "held", "dead")
    assert made["health"] == {
        "status": "ok",
        "failing_since": None,
        "paused_until": None,
        **dict.fromkeys(nothing, 0),
    }


async def test_a_paused_endpoint_shows_until_when(client: httpx.AsyncClient, resources: Resources) -> None:
    made = (await client.post("/v1/endpoints", json={"url": URL})).json()
    await resources.lanes.pause(Role.DELIVER, made["id"], 60_000)
    health = (await client.get(f"/v1/endpoints/{made['id']}")).json()["health"]
    assert health["status"] == "paused"
    assert health["paused_until"] > made["created_at"]


async def test_what_is_held_and_dead_is_counted_for_each_endpoint(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    ids = [(await client.post("/v1/endpoints", json={"url": URL})).json()["id"] for _ in range(2)]
    await keep(resources, ids[1], DeliveryState.HELD, 3)
    await keep(resources, ids[1], DeliveryState.DEAD, 2)
    found = {one["id"]: one["health"] for one in (await client.get("/v1/endpoints")).json()["data"]}
    assert [(found[name]["held"], found[name]["dead"]) for name in ids] == [(0, 0), (3, 2)]
