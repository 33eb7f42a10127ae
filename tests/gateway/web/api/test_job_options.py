"""What a client may ask for in headers beside the request."""

from __future__ import annotations

from datetime import datetime

import httpx
import pytest

from gateway.events import EventType
from gateway.lifecycle import OnUnknown
from gateway.resources import Resources
from gateway.store import keys
from tests.gateway.web.conftest import BODY

START, TOTAL, POLICY = "Gateway-Start-Deadline", "Gateway-Total-Deadline", "Gateway-On-Unknown"
EVENTS = "Gateway-Callback-Events"


async def post(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    return await client.post("/v1/jobs", json=BODY, headers=headers)


def seconds(job: dict[str, str], name: str) -> float:
    made, at = (datetime.fromisoformat(job[field]) for field in ("created_at", name))
    return (at - made).total_seconds()


async def test_without_options_a_job_has_the_service_s_own_deadlines(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job = (await post(client)).json()
    assert (seconds(job, "start_deadline"), seconds(job, "total_deadline")) == (86_400, 93_600)
    stored = await resources.jobs.read(job["id"])
    assert stored
    assert stored.on_unknown is None


async def test_a_job_keeps_what_its_headers_asked_for(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    answer = await post(client, **{START: "60", TOTAL: "120", POLICY: "resubmit"})
    assert answer.status_code == 202
    job = answer.json()
    assert (seconds(job, "start_deadline"), seconds(job, "total_deadline")) == (60, 120)
    stored = await resources.jobs.read(job["id"])
    assert stored
    assert stored.on_unknown is OnUnknown.RESUBMIT
    assert (await client.get(job["links"]["self"])).json()["start_deadline"] == job["start_deadline"]


async def test_a_job_is_never_begun_after_its_end(client: httpx.AsyncClient) -> None:
    job = (await post(client, **{TOTAL: "60"})).json()
    assert (seconds(job, "start_deadline"), seconds(job, "total_deadline")) == (60, 60)


async def test_the_sooner_deadline_is_the_first_to_be_checked(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job = (await post(client, **{START: "60", TOTAL: "120"})).json()
    stored = await resources.jobs.read(job["id"])
    assert stored
    assert await resources.redis.zscore(keys.DEADLINES, job["id"]) == stored.start_by


@pytest.mark.parametrize("name", [START, TOTAL])
@pytest.mark.parametrize(
    "value", ["0", "-1", "1.5", "604801", "soon", "", "1e3", "0x10", "99999999999999999999"]
)
async def test_a_deadline_that_is_no_whole_second_in_range_is_refused(
    client: httpx.AsyncClient, name: str, value: str
) -> None:
    answer = await post(client, **{name: value})
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert (error["param"], error["code"]) == (name, "out_of_range")
    assert error["message"] == "send whole seconds from 1 to 604800"


@pytest.mark.parametrize("value", ["1", "604800"])
async def test_the_ends_of_the_range_are_in_it(client: httpx.AsyncClient, value: str) -> None:
    assert (await post(client, **{START: value, TOTAL: value})).status_code == 202


@pytest.mark.parametrize("value", ["RESUBMIT", "retry", ""])
async def test_a_policy_that_does_not_exist_is_refused_with_those_that_do(
    client: httpx.AsyncClient, value: str
) -> None:
    answer = await post(client, **{POLICY: value})
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert (error["param"], error["code"]) == (POLICY, "not_one_of")
    assert error["message"] == "send one of hold, resubmit, manual"


async def test_a_header_in_bytes_that_are_no_text_is_refused_like_any_other(
    client: httpx.AsyncClient,
) -> None:
    headers = [(POLICY.encode(), b"\xff\xfe"), (START.encode(), b"\xb2")]
    answer = await client.post("/v1/jobs", json=BODY, headers=headers)
    assert answer.status_code == 400
    assert {error["param"] for error in answer.json()["errors"]} == {POLICY, START}


@pytest.mark.parametrize(("name", "value"), [(START, "60"), (TOTAL, "60"), (POLICY, "hold")])
async def test_a_header_that_is_sent_twice_is_refused(
    client: httpx.AsyncClient, name: str, value: str
) -> None:
    headers = [(name, value), (name, value)]
    answer = await client.post("/v1/jobs", json=BODY, headers=headers)
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert (error["param"], error["code"]) == (name, "given_twice")


async def test_everything_wrong_is_named_at_once(client: httpx.AsyncClient) -> None:
    headers = {START: "x", TOTAL: "0", POLICY: "no", "Idempotency-Key": "a b", "Prefer": "wait=900"}
    answer = await client.post("/v1/jobs?wait=7&x=1", json=BODY, headers=headers)
    assert answer.status_code == 400
    named = {error["param"] for error in answer.json()["errors"]}
    assert named == {START, TOTAL, POLICY, "Idempotency-Key", "Prefer", "wait", "x"}


@pytest.mark.parametrize(("name", "value"), [(START, "60"), (TOTAL, "60"), (POLICY, "hold")])
async def test_the_same_key_with_another_option_is_another_request(
    client: httpx.AsyncClient, name: str, value: str
) -> None:
    first = await post(client, **{"Idempotency-Key": "k", name: value})
    again = await post(client, **{"Idempotency-Key": "k", name: value})
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert (await post(client, **{"Idempotency-Key": "k"})).status_code == 422


async def test_a_check_reads_the_options_too(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/jobs/check", json=BODY, headers={POLICY: "no"})
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/check"])
async def test_a_mistyped_option_is_not_ignored_in_silence(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, json=BODY, headers={"Gateway-On-Unknwon": "hold"})
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert (error["param"], error["message"]) == (
        "gateway-on-unknwon",
        "is not an option here; did you mean Gateway-On-Unknown?",
    )


async def test_a_job_names_what_its_callback_url_hears(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    body = BODY | {"callback_url": "http://127.0.0.1:9000/hook"}
    for given, stored in (
        ({}, []),
        ({EVENTS: "completed,failed"}, [EventType.COMPLETED, EventType.FAILED]),
        ({EVENTS: "job.submitted, completed,submitted"}, [EventType.SUBMITTED, EventType.COMPLETED]),
    ):
        answer = await client.post("/v1/jobs", json=body, headers=given)
        job = await resources.jobs.read(answer.json()["id"])
        assert job
        assert job.callback_events == stored


async def test_a_word_that_is_no_event_is_refused_with_those_that_are(client: httpx.AsyncClient) -> None:
    for wrong in ("complete", "", "completed,,failed", "*"):
        answer = await post(client, **{EVENTS: wrong})
        assert answer.status_code == 400
        [fault] = answer.json()["errors"]
        assert (fault["param"], fault["code"]) == (EVENTS, "not_one_of")
        assert "completed, failed" in fault["message"]


async def test_other_events_are_another_request_for_the_same_key(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "order-7"}
    assert (await post(client, **key)).status_code == 202
    assert (await post(client, **key, **{EVENTS: "completed"})).status_code == 422
