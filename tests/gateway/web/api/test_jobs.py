"""Posting, seeing, listing and canceling jobs."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import pytest

from gateway.errors import StoreUnavailable
from gateway.lifecycle import JobEvent, JobState
from gateway.resources import Resources
from gateway.store.effects import AddToFields, BindTask
from gateway.store.transitions import Transition
from gateway.upstream.base import Snapshot, TaskStatus
from gateway.web.schemas import jobs as schemas
from gateway.web.state import State
from tests.gateway.web.conftest import BODY
from tests.gateway.web.parsing import parsed

MISSING = "job_" + "0" * 26


PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAQAAAAEAAQMAAABmvDolAAAAA1BMVEW10NBjBBbqAAAAH0lEQVRo"
    "ge3BAQ0AAADCoPdPbQ43oAAAAAAAAAAAvg0hAAABmmDh1QAAAABJRU5ErkJggg=="
)


def without_id(answer: httpx.Response) -> dict[str, Any]:
    """A problem without what is different in each request."""
    return {name: value for name, value in answer.json().items() if name != "request_id"}


async def post(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/jobs", json={**BODY, **more})
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def complete(resources: Resources, job_id: str) -> None:
    """As the workers would."""
    job = await resources.jobs.read(job_id)
    assert job is not None
    await resources.jobs.apply(job, Transition(JobEvent.CLAIMED, effects=[AddToFields({"epoch": 1})]))
    await resources.jobs.apply(job, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("t-1")]))
    job = await resources.jobs.read(job_id)
    assert job is not None
    output: list[dict[str, object]] = [
        {"content": [{"type": "video", "url": "https://cdn.example.com/v.mp4"}]}
    ]
    snapshot = Snapshot(
        "t-1", TaskStatus.COMPLETED, "completed", output=output, usage={"cost": "0.3", "discount": 1}
    )
    await resources.settlement.succeed(job, snapshot, [])


async def test_a_posted_job_is_accepted_and_can_be_seen(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/jobs", json={**BODY, "payload": "mine"})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    assert int(answer.headers["retry-after"]) > 0
    assert (job["status"], job["payload"]) == ("queued", "mine")
    seen = await client.get(answer.headers["location"])
    assert seen.status_code == 200
    # Dispatched at once for there is room, so nothing is ahead of it and it may not wait any more.
    assert {**seen.json(), "queue": None} == job


async def test_a_job_that_waits_knows_its_position(client: httpx.AsyncClient) -> None:
    posted = [await post(client) for _ in range(8)]
    last = (await client.get(posted[-1]["links"]["self"])).json()
    # five of the eight are dispatched
    assert last["queue"] == {"position": 2, "ahead_estimate": 2, "eta_seconds": None}


async def test_answers_match_the_published_schema_exactly(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job = await post(client, duration=9, bgm=True, payload="x")
    parsed(schemas.Job, (await client.get(job["links"]["self"])).content)
    await complete(resources, job["id"])
    seen = parsed(schemas.Job, (await client.get(job["links"]["self"])).content)
    assert seen["progress"] == 1.0
    assert [warning["code"] for warning in seen["warnings"]] == ["bgm_no_effect"]
    parsed(schemas.JobList, (await client.get("/v1/jobs")).content)


async def test_every_problem_is_named_at_once(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/jobs", json={"model": "x", "duration": 11, "promt": "x"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    params = [error["param"] for error in answer.json()["errors"]]
    assert params == ["model", "images", "prompt", "duration", "promt"]
    parsed(schemas.Problem, answer.content)


async def test_the_same_key_and_body_give_the_same_job(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "order-1"}
    first = await client.post("/v1/jobs", json=BODY, headers=headers)
    again = await client.post("/v1/jobs", json=BODY, headers=headers)
    assert "idempotent-replayed" not in first.headers
    assert again.status_code == 202
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]


async def test_the_same_key_with_another_body_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "order-1"}
    await client.post("/v1/jobs", json=BODY, headers=headers)
    answer = await client.post("/v1/jobs", json={**BODY, "duration": 6}, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["param"] == "Idempotency-Key"


async def test_the_same_key_of_another_tenant_is_another_key(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    headers = {"Idempotency-Key": "order-1"}
    ours = await client.post("/v1/jobs", json=BODY, headers=headers)
    theirs = await stranger.post("/v1/jobs", json=BODY, headers=headers)
    assert ours.json()["id"] != theirs.json()["id"]


@pytest.mark.parametrize(
    ("headers", "param"),
    [
        ({"Idempotency-Key": ""}, "Idempotency-Key"),
        ({"Idempotency-Key": "x" * 256}, "Idempotency-Key"),
        ({"Idempotency-Key": "two words"}, "Idempotency-Key"),
        ({"Prefer": "wait=61"}, "Prefer"),
        ({"Prefer": "wait=soon"}, "Prefer"),
        ({"Prefer": "respond-async, wait"}, "Prefer"),
    ],
)
async def test_a_wrong_header_is_refused_by_its_name(
    client: httpx.AsyncClient, headers: dict[str, str], param: str
) -> None:
    answer = await client.post("/v1/jobs", json=BODY, headers=headers)
    assert answer.status_code == 400
    assert [error["param"] for error in answer.json()["errors"]] == [param]


async def test_an_idempotency_key_that_comes_twice_is_refused(client: httpx.AsyncClient) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await client.post("/v1/jobs", json=BODY, headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/v1/jobs?staus=queued", "staus"),
        ("/v1/jobs?status=done", "status"),
        ("/v1/jobs?after=job_1", "after"),
        ("/v1/jobs?limit=0", "limit"),
        ("/v1/jobs?limit=101", "limit"),
        ("/v1/jobs?limit=ten", "limit"),
        (f"/v1/jobs/{MISSING}?wait=61", "wait"),
        (f"/v1/jobs/{MISSING}?wait=-1", "wait"),
        (f"/v1/jobs/{MISSING}?wait=%D9%A1", "wait"),  # a digit, but not an ASCII one
        (f"/v1/jobs/{MISSING}/deliveries?limit=1", "limit"),
    ],
)
async def test_a_wrong_query_is_refused_by_its_name(client: httpx.AsyncClient, path: str, param: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 400
    assert [error["param"] for error in answer.json()["errors"]] == [param]


async def test_a_check_says_what_would_happen_and_keeps_nothing(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    before = await resources.redis.dbsize()
    body = {**BODY, "duration": 10, "bgm": True, "payload": "mine"}
    answer = await client.post("/v1/jobs/check", json=body)
    assert answer.status_code == 200
    found = parsed(schemas.JobCheck, answer.content)
    assert [warning["code"] for warning in found["warnings"]] == ["bgm_no_effect"]
    assert found["upstream_params"]["duration"] == 10
    assert "payload" not in found["upstream_params"]
    assert await resources.redis.dbsize() == before


async def test_a_check_refuses_what_a_post_would_refuse(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/jobs/check", json={**BODY, "duration": 11})
    assert answer.status_code == 422
    same = await client.post("/v1/jobs", json={**BODY, "duration": 11})
    assert without_id(answer) == without_id(same)


@pytest.mark.parametrize("value", ["1", "0", "true"])
async def test_a_post_that_asks_for_a_dry_run_makes_no_job_and_is_shown_the_check(
    client: httpx.AsyncClient, value: str
) -> None:
    answer = await client.post(f"/v1/jobs?dry_run={value}", json=BODY)
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert (error["param"], error["code"]) == ("dry_run", "unknown_parameter")
    assert error["message"] == "to check a job without creating it, POST it to /v1/jobs/check"
    assert (await client.get("/v1/jobs")).json()["data"] == []


@pytest.mark.parametrize(
    ("headers", "way_out"),
    [
        ({"Idempotency-Key": "a"}, "send the same request again, with the same Idempotency-Key"),
        ({}, "look for it with GET /v1/jobs before you post it again"),
    ],
)
async def test_who_gets_no_answer_of_the_store_learns_that_the_job_may_exist_and_how_to_find_out(
    client: httpx.AsyncClient,
    state: State,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    way_out: str,
) -> None:
    store = state.resources.jobs
    accept = store.accept

    async def lost(_: object, *given: Any, **how: Any) -> None:
        await accept(*given, **how)
        raise StoreUnavailable("Redis does not answer: TimeoutError")

    monkeypatch.setattr(type(store), "accept", lost)
    answer = await client.post("/v1/jobs", json=BODY, headers=headers)
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert (
        answer.json()["detail"] == f"the store did not answer, so the job may have been accepted; {way_out}"
    )
    monkeypatch.undo()
    assert len((await client.get("/v1/jobs")).json()["data"]) == 1


@pytest.mark.parametrize("path", ["{}", "{}/deliveries"])
async def test_an_unknown_and_a_foreign_job_are_the_same_404(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, path: str
) -> None:
    job = await post(client)
    foreign = await stranger.get(f"/v1/jobs/{path.format(job['id'])}")
    unknown = await stranger.get(f"/v1/jobs/{path.format(MISSING)}")
    malformed = await stranger.get(f"/v1/jobs/{path.format('job_x')}")
    assert foreign.status_code == unknown.status_code == malformed.status_code == 404
    shown, missing = without_id(foreign), without_id(unknown)
    assert shown["detail"].replace(job["id"], "") == missing["detail"].replace(MISSING, "")
    assert {**shown, "detail": ""} == {**missing, "detail": ""}


async def test_pages_hold_every_job_once_and_newest_first(client: httpx.AsyncClient) -> None:
    posted = [(await post(client))["id"] for _ in range(5)]
    seen: list[str] = []
    path: str | None = "/v1/jobs?limit=2&status=queued"
    while path:
        document = (await client.get(path)).json()
        seen += [job["id"] for job in document["data"]]
        assert all("payload" not in job for job in document["data"])
        assert document["has_more"] is (document["next"] is not None)
        path = document["next"]
    assert seen == posted[::-1]


async def test_a_list_holds_only_jobs_of_the_status_and_the_tenant(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, resources: Resources
) -> None:
    done, waiting = (await post(client))["id"], (await post(client))["id"]
    await post(stranger)
    await complete(resources, done)
    assert [job["id"] for job in (await client.get("/v1/jobs?status=completed")).json()["data"]] == [done]
    assert [job["id"] for job in (await client.get("/v1/jobs")).json()["data"]] == [waiting, done]


async def test_a_queued_job_can_be_canceled_twice(client: httpx.AsyncClient) -> None:
    job = await post(client, payload="mine")
    for _ in range(2):
        answer = await client.post(f"/v1/jobs/{job['id']}/cancel")
        assert answer.status_code == 200
        assert (answer.json()["status"], answer.json()["payload"]) == ("canceled", "mine")


async def test_a_finished_job_cannot_be_canceled(client: httpx.AsyncClient, resources: Resources) -> None:
    job = await post(client)
    await complete(resources, job["id"])
    answer = await client.post(f"/v1/jobs/{job['id']}/cancel")
    assert answer.status_code == 409
    assert "already completed" in answer.json()["detail"]


async def test_a_foreign_job_cannot_be_canceled(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, resources: Resources
) -> None:
    job = await post(client)
    assert (await stranger.post(f"/v1/jobs/{job['id']}/cancel")).status_code == 404
    kept = await resources.jobs.read(job["id"])
    assert kept is not None
    assert kept.state is JobState.QUEUED


async def test_a_final_job_shows_what_is_owed_for_it(client: httpx.AsyncClient, resources: Resources) -> None:
    job = await post(client, callback_url="https://hooks.example.com/x")
    assert (await client.get(f"/v1/jobs/{job['id']}/deliveries")).json() == {"object": "list", "data": []}
    await complete(resources, job["id"])
    answer = await client.get(f"/v1/jobs/{job['id']}/deliveries")
    (delivery,) = parsed(schemas.DeliveryList, answer.content)["data"]
    assert (delivery["state"], delivery["event"]["type"]) == ("pending", "job.completed")
    assert delivery["url"] == "https://hooks.example.com/x"


async def test_who_waits_hears_of_the_end_at_once(client: httpx.AsyncClient, resources: Resources) -> None:
    job = await post(client)
    waiting = asyncio.create_task(client.get(f"{job['links']['self']}?wait=20"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await complete(resources, job["id"])
    async with asyncio.timeout(2):
        assert (await waiting).json()["status"] == "completed"


async def test_who_waits_in_vain_gets_the_job_as_it_is(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/jobs", json=BODY, headers={"Prefer": "respond-async, wait=1"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=1"
    assert (await client.get(f"{answer.headers['location']}?wait=0")).json()["status"] == "queued"


async def test_a_post_that_waits_answers_200_with_the_final_job(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    headers = {"Prefer": "wait=20", "Idempotency-Key": "x"}
    waiting = asyncio.create_task(client.post("/v1/jobs", json=BODY, headers=headers))
    jobs: list[Any] = []
    while not jobs:
        jobs = (await client.get("/v1/jobs")).json()["data"]
    await complete(resources, jobs[0]["id"])
    async with asyncio.timeout(2):
        answer = await waiting
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


async def test_inline_media_go_to_the_media_store_and_a_replay_leaves_none_behind(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    body = {**BODY, "images": [PICTURE]}
    first = await client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "a"})
    assert first.status_code == 202, first.text
    await client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "a"})
    folder = resources.settings.blob_dir
    assert [path.name for path in folder.glob("job_*")] == [first.json()["id"]]
    checked = await client.post("/v1/jobs/check", json=body)
    assert checked.json()["upstream_params"]["images"][0].startswith("inline png, ")
    assert len(list(folder.glob("job_*"))) == 1


async def test_a_job_shows_its_own_request_and_not_the_content_of_its_files(
    client: httpx.AsyncClient,
) -> None:
    body = {**BODY, "duration": 7, "images": [PICTURE, BODY["images"][0]], "payload": "mine"}
    posted = await post(client, **body)
    job = (await client.get(f"/v1/jobs/{posted['id']}")).json()
    size = len(base64.b64decode(PICTURE.partition(",")[2]))
    shown = [{"media_type": "image/png", "bytes": size}, BODY["images"][0]]
    asked = {name: value for name, value in body.items() if name != "payload"}
    assert job["request"] == posted["request"] == {**asked, "images": shown}
