"""The routes of the Vtrix door, as a client that knows only Vtrix sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from pydantic import TypeAdapter
from starlette.applications import Starlette

from gateway.errors import StoreFull, StoreUnavailable
from gateway.jobs import Job
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.tenants import Scope
from gateway.web.schemas import vtrix as schemas
from gateway.web.state import State
from tests.gateway.doors.wire import HttpError, Task
from tests.gateway.web.api.test_jobs import complete
from tests.gateway.web.conftest import BODY, MakeKey, connected, serving

CREATE = "/model/v1/generation"
HOOK = "http://127.0.0.1:9000/hook"
PARAMS = {name: value for name, value in BODY.items() if name != "model"}
NESTED = {"model": BODY["model"], "input": [{"params": PARAMS}]}
MISSING = "job_" + "0" * 26
_SHAPES: dict[str, TypeAdapter[Any]] = {
    "created": TypeAdapter(schemas.VtrixCreated),
    "task": TypeAdapter(schemas.VtrixTask),
    "refusal": TypeAdapter(schemas.VtrixRefusal),
}


def body(**more: Any) -> dict[str, Any]:
    return {"model": BODY["model"], "input": [{"params": {**PARAMS, **more}}]}


async def create(client: httpx.AsyncClient, **more: Any) -> str:
    answer = await client.post(CREATE, json=body(**more))
    assert answer.status_code == 200, answer.text
    task = Task.model_validate(answer.json())
    _SHAPES["created"].validate_json(answer.content, strict=True)
    assert task.status == "in_progress"
    return task.id


async def poll(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    answer = await client.get(f"{CREATE}/task/{job_id}")
    assert answer.status_code == 200, answer.text
    Task.model_validate(answer.json())
    _SHAPES["task"].validate_json(answer.content, strict=True)
    task: dict[str, Any] = answer.json()
    return task


def refused(answer: httpx.Response, status: int, word: str) -> dict[str, Any]:
    """The body of an error, which is in the door's form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    HttpError.model_validate(answer.json())
    _SHAPES["refusal"].validate_json(answer.content, strict=True)
    refusal: dict[str, Any] = answer.json()
    assert (refusal["error"], refusal["code"]) == (word, status)
    assert refusal["request_id"] == answer.headers["x-request-id"]
    return refusal


async def read(resources: Resources, job_id: str) -> Job:
    job = await resources.jobs.read(job_id)
    assert job is not None
    return job


@pytest.mark.parametrize("sent", [NESTED, BODY, {**NESTED, "moderation": True}])
async def test_a_job_is_made_by_either_form_and_every_door_shows_it(
    client: httpx.AsyncClient, resources: Resources, sent: dict[str, Any]
) -> None:
    answer = await client.post(CREATE, json=sent)
    assert answer.status_code == 200
    job_id = answer.json()["id"]
    assert (await read(resources, job_id)).door == "vtrix"
    assert (await poll(client, job_id))["status"] == "in_progress"
    assert (await client.get(f"/v1/jobs/{job_id}")).json()["status"] == "queued"


async def test_a_job_of_our_own_door_is_shown_here(client: httpx.AsyncClient, resources: Resources) -> None:
    job_id = (await client.post("/v1/jobs", json={**BODY, "payload": "mine"})).json()["id"]
    assert (await poll(client, job_id))["payload"] == "mine"
    assert (await read(resources, job_id)).door is None


async def test_a_duration_of_zero_and_a_payload_survive(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job_id = await create(client, duration=0, payload="order 7")
    assert (await read(resources, job_id)).params["duration"] == 0
    await complete(resources, job_id)
    task = await poll(client, job_id)
    assert (task["status"], task["payload"]) == ("completed", "order 7")
    assert task["usage"] == {"cost": "0.3", "discount": 1}
    assert task["output"][0]["content"][0]["url"] == "https://cdn.example.com/v.mp4"


async def test_the_address_of_the_video_is_ours_if_we_know_how_clients_reach_us(
    settings: Settings, resources: Resources, make_key: MakeKey
) -> None:
    known = settings.model_copy(update={"client_url": "https://gateway.example.com"})
    async with serving(known) as app, connected(app, await make_key()) as client:
        job_id = await create(client)
        await complete(resources, job_id)
        urls = [Task.model_validate(await poll(client, job_id)).urls for _ in range(2)]
    assert urls[0] == urls[1]
    assert urls[0][0].startswith(f"https://gateway.example.com/v1/jobs/{job_id}/content?variant=video&")


async def test_every_problem_of_a_body_is_named_at_once(client: httpx.AsyncClient) -> None:
    wrong = body(duration=11, resolution="4k", images=["ftp://x/a.png"], movement_amplitude="auto")
    refusal = refused(await client.post(CREATE, json=wrong), 400, "invalid_request")
    assert {one["param"] for one in refusal["errors"]} == {
        *("duration", "resolution", "images[0]", "movement_amplitude")
    }
    assert all(one["param"] in refusal["message"] for one in refusal["errors"])


@pytest.mark.parametrize(
    ("content", "headers", "status", "word"),
    [
        (b"{", {}, 400, "malformed_body"),
        (b"", {}, 400, "malformed_body"),
        (b"[" * 40 + b"]" * 40, {}, 400, "malformed_body"),
        (orjson.dumps({"model": "m", "input": [{"params": [[]] * 100_001}]}), {}, 400, "malformed_body"),
        (orjson.dumps({"model": "m", "input": [{}, {}]}), {}, 400, "invalid_request"),
        (orjson.dumps([1]), {}, 400, "invalid_request"),
        (b"{}", {"content-type": "text/plain"}, 415, "unsupported_media_type"),
        (b"{}", {"content-length": "30000000"}, 413, "body_too_large"),
        (b"{}", {"idempotency-key": "a b"}, 400, "bad_request"),
        (b"{}", {"gateway-priority": "urgent"}, 400, "bad_request"),
        (b"{}", {"gateway-prioritty": "low"}, 400, "bad_request"),
    ],
)
async def test_whatever_is_wrong_is_answered_in_the_door_s_form(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int, word: str
) -> None:
    sent = {"content-type": "application/json", **headers}
    refused(await client.post(CREATE, content=content, headers=sent), status, word)


@pytest.mark.parametrize("name", [MISSING, "x", "job_1", "%00", "d758n65e878c73cmdg20", "job_" + "Z" * 500])
async def test_an_unknown_id_is_a_404_after_the_key_was_checked(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, name: str
) -> None:
    refused(await client.get(f"{CREATE}/task/{name}"), 404, "not_found")
    refused(await nobody.get(f"{CREATE}/task/{name}"), 401, "unauthenticated")


async def test_a_job_of_another_tenant_is_as_one_that_nobody_has(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    job_id = await create(client)
    theirs = refused(await stranger.get(f"{CREATE}/task/{job_id}"), 404, "not_found")
    nobody_s = refused(await stranger.get(f"{CREATE}/task/{MISSING}"), 404, "not_found")
    assert theirs["message"].replace(job_id, "ID") == nobody_s["message"].replace(MISSING, "ID")


async def test_a_key_is_needed_before_a_body_is_read(nobody: httpx.AsyncClient) -> None:
    answer = await nobody.post(CREATE, content=b"{")
    refused(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"]
    key = {"authorization": "Token vgw_x"}
    refused(await nobody.post(CREATE, json=NESTED, headers=key), 401, "unauthenticated")


async def test_a_key_without_the_scope_is_refused_with_the_reason(app: Starlette, make_key: MakeKey) -> None:
    async with connected(app, await make_key(scopes=[Scope.JOBS_READ])) as reader:
        assert (
            "jobs:write" in refused(await reader.post(CREATE, json=NESTED), 403, "scope_missing")["message"]
        )


@pytest.mark.parametrize("path", [CREATE, f"{CREATE}/task/{MISSING}", "/api/v1/skill/models"])
async def test_a_method_that_a_route_does_not_have(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.delete(path)
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


async def test_too_many_jobs_are_refused_with_the_time_to_come_back(
    settings: Settings, empty_redis: None, make_key: MakeKey
) -> None:
    slow = settings.model_copy(update={"tenant_rate": 0.01, "tenant_burst": 1})
    async with serving(slow) as app, connected(app, await make_key()) as client:
        assert (await client.post(CREATE, json=NESTED)).headers["ratelimit"]
        answer = await client.post(CREATE, json=NESTED)
    refused(answer, 429, "rate_limited")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_store_that_does_not_answer_is_a_503(
    client: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object, **__: object) -> None:
        raise StoreUnavailable("the store did not answer")

    monkeypatch.setattr(type(state.resources.jobs), "accept", lost)
    answer = await client.post(CREATE, json=NESTED)
    assert "may have been accepted" in refused(answer, 503, "unavailable")["message"]
    assert int(answer.headers["retry-after"]) > 0


async def test_a_full_store_says_that_nothing_was_accepted(
    client: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise StoreFull(0.9)

    monkeypatch.setattr(type(state.memory), "check", full)
    answer = await client.post(CREATE, json=NESTED)
    refused(answer, 429, "unavailable")
    assert answer.headers["retry-after"] == "30"


async def test_a_fault_of_ours_has_the_door_s_form_and_reveals_nothing(
    app: Starlette, client: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(type(state.resources.jobs), "payload", broken)
    job_id = await create(client)
    answer = await client.get(f"{CREATE}/task/{job_id}")
    assert "secret" not in answer.text
    refused(answer, 500, "internal")


async def test_a_key_of_idempotency_makes_one_job_through_any_door(client: httpx.AsyncClient) -> None:
    key = {"idempotency-key": "order-7"}
    first = await client.post(CREATE, json=NESTED, headers=key)
    again = await client.post(CREATE, json=BODY, headers=key)
    other = await client.post("/v1/jobs", json=BODY, headers=key)
    assert first.json()["id"] == again.json()["id"] == other.json()["id"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == other.headers["idempotent-replayed"] == "true"
    changed = await client.post(CREATE, json=body(duration=7), headers=key)
    refused(changed, 400, "idempotency_mismatch")


@pytest.fixture
async def closed(
    settings: Settings, make_key: MakeKey, empty_redis: None
) -> AsyncIterator[httpx.AsyncClient]:
    """Only our own door is open."""
    async with (
        serving(settings.model_copy(update={"doors": ["jobs"]})) as app,
        connected(app, await make_key()) as client,
    ):
        yield client


async def test_a_closed_door_is_no_path(closed: httpx.AsyncClient) -> None:
    for method, path in (
        ("POST", CREATE),
        ("GET", f"{CREATE}/task/{MISSING}"),
        ("GET", "/api/v1/skill/models"),
        ("GET", "/openapi-vtrix.json"),
    ):
        answer = await closed.request(method, path, json=NESTED)
        assert (answer.status_code, answer.json()["type"]) == (404, "/docs/errors/not-found")
    assert (await closed.post("/v1/jobs", json=BODY)).status_code == 202


async def test_our_own_door_can_be_closed_too(settings: Settings, make_key: MakeKey) -> None:
    async with (
        serving(settings.model_copy(update={"doors": ["vtrix"]})) as app,
        connected(app, await make_key()) as client,
    ):
        job_id = await create(client)
        for path in ("/v1/jobs", f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/events"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/v1/deliveries")).status_code == 200
