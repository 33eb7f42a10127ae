"""Registering where webhooks go."""

from __future__ import annotations

import httpx
import pytest

from gateway.delivery.secrets import endpoint_secret
from gateway.resources import Resources
from gateway.web import schemas
from gateway.web.endpoints import MAX_ENDPOINTS

URL = "https://hooks.example.com/video"


async def test_an_endpoint_is_registered_and_its_secret_shown_once(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    wanted = {"url": URL, "events": ["job.completed"], "description": "ours"}
    answer = await client.post("/v1/endpoints", json=wanted)
    assert answer.status_code == 201
    made = schemas.CreatedEndpoint.model_validate_json(answer.content)
    keyring = resources.keyring
    assert made.secret == endpoint_secret(keyring, keyring.active_kid, made.id, 1)
    seen = await client.get(answer.headers["location"])
    schemas.Endpoint.model_validate_json(seen.content)
    listed = await client.get("/v1/endpoints")
    assert schemas.EndpointList.model_validate_json(listed.content).data[0].id == made.id
    for later in (seen.text, listed.text):
        assert made.secret not in later
        assert "whsec" not in later


async def test_no_events_named_means_all_of_them(client: httpx.AsyncClient) -> None:
    made = (await client.post("/v1/endpoints", json={"url": URL})).json()
    assert made["events"] == ["job.completed", "job.failed", "job.canceled", "job.late_result"]


async def test_a_deleted_endpoint_is_gone(client: httpx.AsyncClient) -> None:
    path = (await client.post("/v1/endpoints", json={"url": URL})).headers["location"]
    answer = await client.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await client.get(path)).status_code == 404
    assert (await client.delete(path)).status_code == 404


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_foreign_endpoint_is_404(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, method: str
) -> None:
    path = (await client.post("/v1/endpoints", json={"url": URL})).headers["location"]
    assert (await stranger.request(method, path)).status_code == 404
    assert (await client.get(path)).status_code == 200
    assert (await stranger.get("/v1/endpoints")).json()["data"] == []


@pytest.mark.parametrize(
    ("body", "param", "code", "message"),
    [
        ({}, "url", "required", 'is required; send a URL such as "https://video.example.com/webhooks"'),
        ({"url": 1}, "url", "wrong_type", "send a URL such as"),
        ({"url": None}, "url", "wrong_type", "null means nothing here; send a URL"),
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
        ({"url": URL, "events": [1]}, "events[0]", "wrong_type", "send one of job.completed, job.failed"),
        ({"url": URL, "events": "job.completed"}, "events", "wrong_type", "send an array of events"),
        ({"url": URL, "events": None}, "events", "wrong_type", "leave events out, or send an array"),
        ({"url": URL, "events": ["job.failed"] * 5}, "events", "too_many", "5 events; send at most 4"),
        ({"url": URL, "evnts": []}, "evnts", "unknown_parameter", "did you mean events?"),
        ({"url": URL, "zzz": "sesame"}, "zzz", "unknown_parameter", "are url, events, description"),
        ({"url": URL, "description": "x" * 257}, "description", "too_long", "has 257 characters; send at"),
        ([], "", "not_an_object", "send one JSON object"),
    ],
)
async def test_a_wrong_endpoint_is_told_what_to_send_instead(
    client: httpx.AsyncClient, body: object, param: str, code: str, message: str
) -> None:
    answer = await client.post("/v1/endpoints", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["param"], error["code"]) == (param, code)
    assert message in error["message"]
    assert "sesame" not in answer.text
    assert "password@" not in answer.text


async def test_every_fault_of_an_endpoint_is_told_at_once(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/endpoints", json={"events": ["x"], "description": 1, "uri": URL})
    assert [error["param"] for error in answer.json()["errors"]] == ["url", "events[0]", "description", "uri"]


async def test_a_tenant_has_at_most_so_many_endpoints(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    for _ in range(MAX_ENDPOINTS):
        assert (await client.post("/v1/endpoints", json={"url": URL})).status_code == 201
    answer = await client.post("/v1/endpoints", json={"url": URL})
    assert answer.status_code == 409
    assert str(MAX_ENDPOINTS) in answer.json()["detail"]
    assert (await stranger.post("/v1/endpoints", json={"url": URL})).status_code == 201
