"""A job in the words of the Vtrix door: the types that its clients insist on, in every state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from gateway.doors.base import Document, Refusal, ResultLinks, no_link
from gateway.doors.vtrix import CODES, VTRIX
from gateway.errors import Problem
from gateway.jobs import Job
from gateway.keyring import Keyring
from gateway.lifecycle import JobState
from gateway.upstream.base import Accepted, Busy, TaskStatus, Unknown
from gateway.upstream.vtrix import VtrixDialect
from gateway.views.job import JOB_ERRORS
from tests.conftest import KEYRING
from tests.gateway.doors.wire import HttpError, Task, TaskError
from tests.gateway.test_jobs import FULL

LINKS = ResultLinks(Keyring.parse(KEYRING), "https://gateway.example.com", 604_800)


def in_state(state: JobState, **more: Any) -> Job:
    cleared: dict[str, Any] = {"output": None, "usage": None, "metadata": None, "error": None}
    return replace(FULL, **{**cleared, "state": state, **more})


def wire(document: Document) -> Document:
    """As it arrives."""
    sent: Document = orjson.loads(orjson.dumps(document))
    return sent


def shown(job: Job, payload: str | None = None) -> Document:
    document = wire(VTRIX.shown(job, payload, no_link))
    Task.model_validate(document)
    return document


@pytest.mark.parametrize("state", JobState)
def test_every_state_is_a_word_that_its_clients_know(state: JobState) -> None:
    error = {"code": "submission_unknown", "error_message": "m"} if state is JobState.FAILED else None
    output = FULL.output if state is JobState.COMPLETED else None
    task = shown(in_state(state, error=error, output=output))
    assert task["status"] == {
        JobState.COMPLETED: "completed",
        JobState.FAILED: "failed",
        JobState.CANCELED: "failed",
    }.get(state, "in_progress")
    assert ("output" in task, "error" in task) == (
        state is JobState.COMPLETED,
        state in (JobState.FAILED, JobState.CANCELED),
    )
    assert (task["id"], task["created_at"]) == (FULL.id, 1_795_350_000)


def test_our_own_dialect_reads_it_as_the_upstream_s() -> None:
    """So a gateway can stand behind a gateway."""
    dialect = VtrixDialect()
    created = dialect.read_created(200, {}, orjson.dumps(VTRIX.accepted(FULL)))
    assert isinstance(created, Accepted)
    assert created.task_id == FULL.id
    done = in_state(JobState.COMPLETED, output=FULL.output, usage={"cost": "0.2750", "discount": 0})
    answer: Any = dialect.read_task(200, {}, orjson.dumps(VTRIX.shown(done, None, no_link)))
    found = answer.snapshot
    assert (found.status, found.output, found.usage) == (TaskStatus.COMPLETED, done.output, done.usage)


def test_an_accepted_job_is_in_progress_whatever_became_of_it() -> None:
    assert wire(VTRIX.accepted(FULL)) == {
        "id": FULL.id,
        "created_at": 1_795_350_000,
        "status": "in_progress",
        "model": FULL.model,
    }


@pytest.mark.parametrize(("progress", "sent"), [(None, None), (0, 0.0), (0.25, 0.25), (1, 1.0)])
def test_progress_is_a_share_of_one(progress: float | None, sent: float | None) -> None:
    task = VTRIX.shown(in_state(JobState.SUBMITTED, progress=progress), None, no_link)
    assert task.get("progress") == sent
    assert isinstance(task.get("progress"), float | None)


@pytest.mark.parametrize("duration", [5, 5.0, "5"])
def test_what_the_upstream_sends_in_another_type_is_sent_in_theirs(duration: object) -> None:
    item = {"type": "video", "url": "https://v", "duration": duration, "img_id": "x", "jobId": 911, "id": 7}
    task = shown(in_state(JobState.COMPLETED, output=[{"content": [item]}]))
    assert task["output"] == [{"content": [{"type": "video", "url": "https://v", "duration": str(duration)}]}]


def test_a_result_of_unknown_form_does_not_stop_the_answer() -> None:
    output = [{"content": [{"text": "no url"}, {"type": 7, "url": "https://v", "cover_url": None}]}, {}]
    task = shown(in_state(JobState.COMPLETED, output=output))
    assert Task.model_validate(task).urls == ["https://v"]


@pytest.mark.parametrize("usage", [None, {}, {"cost": "0.2750", "discount": 0}, {"discount": 1.5}])
def test_the_price_is_a_text(usage: Document | None) -> None:
    task = shown(in_state(JobState.COMPLETED, output=FULL.output, usage=usage))
    assert task.get("usage") == (usage or None)
    assert task["metadata"] == {}


@pytest.mark.parametrize("payload", [None, "", "order 7", "ü\n\u0000"])
def test_the_payload_comes_back_verbatim(payload: str | None) -> None:
    for state in JobState:
        assert shown(in_state(state), payload).get("payload") == payload


@pytest.mark.parametrize(
    ("code", "number"),
    [("1027", 1027), ("002014001", 2014001), ("AuditSubmitIllegal", 90_000), ("1" * 19, 90_000)],
)
def test_the_code_of_an_error_is_a_number_and_its_word_stays(code: str, number: int) -> None:
    task = shown(in_state(JobState.FAILED, error={"code": code, "error_message": "why"}))
    assert task["error"] == {"code": number, "error_message": "why", "type": code}


def test_each_word_of_ours_has_a_number_of_its_own() -> None:
    assert {*JOB_ERRORS, "canceled"} == set(CODES)
    assert len(set(CODES.values()) | {90_000}) == len(CODES) + 1


def test_a_canceled_job_failed_with_a_word_of_its_own() -> None:
    error = shown(in_state(JobState.CANCELED))["error"]
    assert (error["code"], error["type"]) == (CODES["canceled"], "canceled")


def test_the_address_of_the_video_is_ours_and_the_same_in_every_answer() -> None:
    item = {
        "type": "video",
        "url": "https://u/v",
        "watermarked_url": "https://u/w",
        "cover_url": "https://u/c",
    }
    job = in_state(JobState.COMPLETED, output=[{"content": [item, {"type": "video", "url": "https://u/2"}]}])
    [group] = VTRIX.shown(job, None, LINKS.of)["output"]
    first, second = group["content"]
    assert first["url"].startswith(f"https://gateway.example.com/v1/jobs/{job.id}/content?variant=video&exp=")
    assert "variant=watermarked" in first["watermarked_url"]
    assert f"exp={1_795_350_000 + 604_800}&" in first["url"]
    assert (first["cover_url"], second["url"]) == ("https://u/c", "https://u/2")
    assert VTRIX.shown(job, "x", LINKS.of)["output"] == [group]
    assert VTRIX.event(job, None, LINKS.of)["output"] == [group]
    assert job.output is not None
    assert job.output[0]["content"][0] == item  # the record is as it was


def test_without_an_address_of_ours_it_is_the_upstream_s() -> None:
    unset = replace(LINKS, client_url="")
    assert (
        VTRIX.shown(FULL, None, unset.of)["output"][0]["content"][0]["url"] == "https://cdn.example.com/v.mp4"
    )


def test_a_callback_has_the_body_of_a_poll() -> None:
    for state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELED):
        job = replace(FULL, state=state)
        assert VTRIX.event(job, "mine", LINKS.of) == VTRIX.shown(job, "mine", LINKS.of)


def test_a_refusal_is_two_texts_and_a_list() -> None:
    faults = [Problem("duration", "out_of_range", "send 0 to 10"), Problem("", "required", "send a body")]
    status, body = VTRIX.refused(Refusal(422, "invalid-request", "2 problems", faults, "req_1"))
    assert status == 400
    HttpError.model_validate(wire(body))
    assert body["message"] == "duration: send 0 to 10; send a body"
    assert (body["error"], body["code"], body["request_id"]) == ("invalid_request", 400, "req_1")
    assert [fault["code"] for fault in body["errors"]] == ["out_of_range", "required"]
    status, body = VTRIX.refused(Refusal(404, "not-found", "no job x", [], "req_1"))
    assert (status, body["message"], body["errors"]) == (404, "no job x", [])


def test_only_what_may_have_been_accepted_is_a_5xx() -> None:
    """Our own dialect, as any careful client, does not send a job again after a 5xx."""
    refusal = Refusal(503, "unavailable", "the store is full", [], "req_1")
    status, body = VTRIX.refused(refusal)
    assert (status, body["code"]) == (429, 429)
    busy = VtrixDialect().read_created(status, {"retry-after": "30"}, orjson.dumps(body))
    assert busy == Busy("429: the store is full", 30)
    status, body = VTRIX.refused(replace(refusal, in_doubt=True))
    assert isinstance(VtrixDialect().read_created(status, {}, orjson.dumps(body)), Unknown)


@pytest.mark.parametrize("document", [None, [], "x", {"model": "m", "input": []}, {"prompt": "a"}])
def test_a_document_is_passed_on_as_it_is(document: object) -> None:
    assert VTRIX.read(document) == document


def test_moderation_beside_the_model_is_dropped_and_nowhere_else() -> None:
    kept = {"model": "m", "input": [{"params": {"moderation": True}}]}
    assert VTRIX.read({**kept, "moderation": True}) == kept


@pytest.mark.parametrize(
    "wrong",
    [
        {"created_at": 1.5},
        {"created_at": "2026-11-22T08:00:00Z"},
        {"usage": {"cost": 0.2}},
        {"output": {"content": []}},
        {"output": [{"content": [{"duration": 5}]}]},
    ],
)
def test_the_judge_can_refuse(wrong: Document) -> None:
    right = wire(VTRIX.shown(FULL, None, no_link))
    with pytest.raises(ValidationError):
        Task.model_validate(right | wrong)
    with pytest.raises(ValidationError):
        TaskError.model_validate({"code": "1027"})
