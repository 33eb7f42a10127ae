"""A job in the words of the Vidu door: the types that its clients insist on, in every state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from gateway.doors.base import Document, Refusal, no_link
from gateway.doors.vidu import VIDU, credits_of
from gateway.errors import Problem
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS, Job
from gateway.lifecycle import JobState
from gateway.upstream.base import (
    Accepted,
    AccountRefused,
    Busy,
    CancelDone,
    CancelRefused,
    Missing,
    Rejected,
    TaskStatus,
    Unknown,
)
from gateway.upstream.vidu import ViduDialect
from tests.gateway.doors.test_vtrix import LINKS, in_state, wire
from tests.gateway.doors.vidu_wire import Created, HttpError, Listed, Task
from tests.gateway.test_jobs import FULL

REFUSAL = Refusal(422, "invalid-request", "2 problems", [], "req_1")


def shown(job: Job, payload: str | None = None) -> Document:
    document = wire(VIDU.shown(job, payload, no_link))
    Task.model_validate(document)
    return document


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (JobState.QUEUED, "queueing"),
        (JobState.SUBMITTING, "queueing"),
        (JobState.UNKNOWN, "queueing"),
        (JobState.SUBMITTED, "processing"),
        (JobState.COMPLETED, "success"),
        (JobState.FAILED, "failed"),
        (JobState.CANCELED, "failed"),
    ],
)
def test_every_state_is_one_of_five_words(state: JobState, word: str) -> None:
    error = {"code": "submission_unknown", "error_message": "m"} if state is JobState.FAILED else None
    output = FULL.output if state is JobState.COMPLETED else None
    task = shown(in_state(state, error=error, output=output))
    codes = {JobState.FAILED: "submission_unknown", JobState.CANCELED: "UserCancelled"}
    assert (task["id"], task["state"], task["err_code"]) == (FULL.id, word, codes.get(state, ""))
    assert bool(task["creations"]) is (state is JobState.COMPLETED)


def test_our_own_dialect_reads_it_as_the_upstream_s() -> None:
    """So a gateway can stand behind a gateway."""
    dialect = ViduDialect()
    created = dialect.read_created(200, {}, orjson.dumps(VIDU.created(FULL, "mine")))
    assert created == Accepted(FULL.id, None)
    done = in_state(JobState.COMPLETED, output=FULL.output, usage={"cost": "0.2750"})
    answer: Any = dialect.read_task(200, {}, orjson.dumps(VIDU.shown(done, "mine", no_link)))
    found = answer.snapshot
    assert (found.status, found.reference, found.metadata) == (TaskStatus.COMPLETED, "mine", {"credits": 55})
    assert found.output[0]["content"][0]["url"] == "https://cdn.example.com/v.mp4"
    failed = in_state(JobState.FAILED, error={"code": "1027", "error_message": "m"})
    answer = dialect.read_task(200, {}, orjson.dumps(VIDU.shown(failed, None, no_link)))
    assert (answer.snapshot.status, answer.snapshot.error.code) == (TaskStatus.FAILED, "1027")
    answer = dialect.read_task(200, {}, orjson.dumps(VIDU.shown(in_state(JobState.CANCELED), None, no_link)))
    assert answer.snapshot.status is TaskStatus.CANCELED


def test_an_accepted_job_is_created_whatever_became_of_it() -> None:
    for state in JobState:
        task = wire(VIDU.created(replace(FULL, state=state), "mine"))
        Created.model_validate(task)
        assert (task["state"], task["payload"], task["model"]) == ("created", "mine", "viduq2-pro")
        assert "credits" not in task


def test_files_that_were_inside_the_request_do_not_come_back() -> None:
    job = replace(FULL, params={**FULL.params, "images": ["blob:job/a.png", "https://a/b.png", "upload:x"]})
    assert VIDU.accepted(job)["images"] == ["https://a/b.png"]


@pytest.mark.parametrize(
    ("state", "more", "number"),
    [
        (JobState.SUBMITTED, {"usage": {"cost": "0.2750"}}, None),
        (JobState.COMPLETED, {"usage": {"cost": "0.2750"}}, 55),
        (JobState.COMPLETED, {"usage": {"cost": "0.2751"}}, 56),
        (JobState.COMPLETED, {"usage": {"cost": "0"}}, 0),
        (JobState.COMPLETED, {"metadata": {"credits": 55}, "usage": {"cost": "1"}}, 55),
        (JobState.COMPLETED, {"metadata": {"credits": 5.5}}, None),
        (JobState.COMPLETED, {"metadata": {"credits": True}}, None),
        (JobState.COMPLETED, {"usage": {"discount": 1}}, None),
        (JobState.FAILED, {}, None),
        (JobState.FAILED, {"usage": {"cost": "0.1"}}, 20),
        (JobState.CANCELED, {"task_id": None, "released_at": None, "earlier": [], "resubmits": 0}, 0),
    ],
)
def test_credits_are_a_whole_number_and_absent_until_they_are_known(
    state: JobState, more: dict[str, Any], number: int | None
) -> None:
    job = in_state(state, **{"evidence": None, **more})
    assert credits_of(job) == number
    assert shown(job).get("credits") == number


@pytest.mark.parametrize("payload", [None, "", "order 7", "ü\n\u0000"])
def test_the_payload_comes_back_verbatim(payload: str | None) -> None:
    for state in JobState:
        assert shown(in_state(state), payload)["payload"] == (payload or "")


def test_a_result_of_unknown_form_does_not_stop_the_answer() -> None:
    odd = {"type": 7, "url": "https://v", "cover_url": None, "id": 9, "watermarked_url": 5}
    task = shown(in_state(JobState.COMPLETED, output=[{"content": [{"text": "no url"}, odd]}, {}]))
    assert task["creations"] == [{"id": "9", "url": "https://v", "cover_url": ""}]


def test_the_address_of_the_video_is_ours_and_the_same_in_every_answer() -> None:
    item = {
        "type": "video",
        "url": "https://u/v",
        "watermarked_url": "https://u/w",
        "cover_url": "https://u/c",
    }
    job = in_state(JobState.COMPLETED, output=[{"content": [item, {"type": "video", "url": "https://u/2"}]}])
    first, second = VIDU.shown(job, None, LINKS.of)["creations"]
    assert first["url"].startswith(f"https://gateway.example.com/v1/jobs/{job.id}/content?variant=video&exp=")
    assert "variant=watermarked" in first["watermarked_url"]
    assert (first["cover_url"], second["url"]) == ("https://u/c", "https://u/2")
    assert VIDU.event(job, "x", LINKS.of) == VIDU.shown(job, "x", LINKS.of)
    assert job.output is not None
    assert job.output[0]["content"][0] == item  # the record is as it was


def test_a_row_of_a_list_is_a_poll_and_what_was_asked_for() -> None:
    row = wire(VIDU.listed(FULL, "mine", no_link))
    Listed.model_validate(row)
    assert shown(FULL, "mine").items() <= row.items()
    assert (row["model"], row["created_at"]) == ("viduq2-pro", "2026-11-22T12:20:00.001Z")


@pytest.mark.parametrize(
    ("status", "name", "codes", "sent", "reason"),
    [
        (422, "invalid-request", ["out_of_range"], 400, "FieldInvalid"),
        (422, "invalid-request", ["required", "blank"], 400, "FieldLacking"),
        (422, "invalid-request", ["unknown_parameter"], 400, "FieldUnwanted"),
        (422, "invalid-request", ["too_many"], 400, "FieldItemCountOutOfRange"),
        (422, "idempotency-mismatch", ["idempotency_mismatch"], 400, "BadRequest"),
        (400, "malformed-body", ["invalid_json"], 400, "BadRequest"),
        (400, "bad-request", ["unknown_parameter"], 400, "FieldUnwanted"),
        (401, "unauthenticated", [], 401, "Unauthorized"),
        (402, "budget-exceeded", [], 400, "CreditInsufficient"),
        (403, "scope-missing", [], 403, "Forbidden"),
        (404, "not-found", [], 404, "TaskNotFound"),
        (405, "method-not-allowed", [], 405, "BadRequest"),
        (409, "conflict", [], 400, "BadRequest"),
        (413, "body-too-large", [], 413, "BadRequest"),
        (429, "rate-limited", [], 429, "TooManyRequests"),
        (429, "limit-reached", [], 429, "QuotaExceeded"),
        (500, "internal", [], 500, "InternalServiceFailure"),
        (503, "unavailable", [], 429, "SystemThrottling"),
    ],
)
def test_a_refusal_has_one_of_vidu_s_reasons(
    status: int, name: str, codes: list[str], sent: int, reason: str
) -> None:
    faults = [Problem(f"p{at}", code, "is wrong") for at, code in enumerate(codes)]
    found, body = VIDU.refused(Refusal(status, name, "because", faults, "req_1"))
    HttpError.model_validate(wire(body))
    assert (found, body["code"], body["reason"]) == (sent, sent, reason)
    assert body["metadata"] == {"trace_id": "req_1"}
    assert body["message"] == "\n".join(f"p{at}: is wrong" for at in range(len(codes))) or "because"


def test_a_refusal_names_the_model_as_its_clients_do() -> None:
    fault = Problem("model", "unknown_model", "is not served here; send viduq2_pro_reference")
    _, body = VIDU.refused(replace(REFUSAL, problems=[fault]))
    assert body["message"] == "model: is not served here; send viduq2-pro"


@pytest.mark.parametrize(
    ("refusal", "outcome"),
    [
        (REFUSAL, Rejected),
        (Refusal(401, "unauthenticated", "d", [], "r"), AccountRefused),
        (Refusal(402, "budget-exceeded", "d", [], "r"), AccountRefused),
        (Refusal(429, "rate-limited", "d", [], "r"), Busy),
        (Refusal(503, "unavailable", "d", [], "r"), Busy),
        (Refusal(503, "unavailable", "d", [], "r", in_doubt=True), Unknown),
        (Refusal(500, "internal", "d", [], "r"), Unknown),
    ],
)
def test_our_own_dialect_knows_whether_a_refused_job_exists(refusal: Refusal, outcome: type) -> None:
    status, body = VIDU.refused(refusal)
    assert isinstance(ViduDialect().read_created(status, {}, orjson.dumps(body)), outcome)


def test_our_own_dialect_knows_what_became_of_a_cancel() -> None:
    dialect = ViduDialect()
    assert dialect.read_canceled(200, {}, b"{}") == CancelDone()
    for name, outcome in (("conflict", CancelRefused), ("cannot-cancel-upstream", CancelRefused)):
        status, body = VIDU.refused(Refusal(409, name, "the job is already completed", [], "r"))
        assert isinstance(dialect.read_canceled(status, {}, orjson.dumps(body)), outcome)
    status, body = VIDU.refused(Refusal(404, "not-found", "no job", [], "r"))
    assert dialect.read_canceled(status, {}, orjson.dumps(body)) == Missing()


def test_what_has_no_effect_is_dropped_and_what_would_have_one_is_not() -> None:
    asked = {"model": "viduq2-pro", "prompt": "a"}
    without = {"movement_amplitude": "auto", "audio": False, "auto_subjects": False, "is_rec": False}
    assert VIDU.read(asked | without) == {"model": "viduq2_pro_reference", "prompt": "a"}
    kept: dict[str, Any] = {"audio": True, "subjects": [], "voice_id": "v", "is_rec": 0}
    read: Any = VIDU.read(asked | kept)
    assert kept.items() <= read.items()


@pytest.mark.parametrize("model", ["viduq2_pro_reference", "viduq3", ""])
def test_another_model_is_none_of_ours(model: str) -> None:
    assert VIDU.read({"model": model}) == {"model": ""}


@pytest.mark.parametrize("document", [None, [], "x", {"model": 7}, {"prompt": "a"}])
def test_a_document_of_another_form_is_passed_on_as_it_is(document: object) -> None:
    assert VIDU.read(document) == document


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "rendering"},
        {"credits": 55.0},
        {"credits": "55"},
        {"err_code": None},
        {"creations": None},
        {"payload": "x" * EVENT_PAYLOAD_CHARACTERS, "bgm": "false"},
    ],
)
def test_the_judge_can_refuse(wrong: Document) -> None:
    with pytest.raises(ValidationError):
        Task.model_validate(shown(FULL) | wrong)
