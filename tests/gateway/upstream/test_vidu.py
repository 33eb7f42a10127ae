"""What the dialect of Vidu's own API writes, and its reading of every answer to a paid POST."""

from __future__ import annotations

import orjson
import pytest

from gateway.upstream.base import (
    Accepted,
    AccountRefused,
    Busy,
    Dialect,
    Rejected,
    Snapshot,
    SubmitOutcome,
    TaskStatus,
    Unknown,
    UpstreamError,
)
from gateway.upstream.vidu import ViduDialect

DIALECT: Dialect = ViduDialect()
CREATED = {
    "task_id": "911088422699962368",
    "state": "created",
    "model": "viduq2-pro",
    "images": ["https://cdn.example.com/hero.png"],
    "prompt": "p",
    "payload": "ref",
    "credits": 55,
    "created_at": "2026-01-20T06:52:02.323Z",
}


def wire(
    params: dict[str, object], *, model: str = "viduq2_pro_reference", callback_url: str | None = None
) -> object:
    path, body = DIALECT.create_request(params, model=model, callback_url=callback_url, reference="ref")
    assert path == "/ent/v2/reference2video"
    return orjson.loads(body)


def created(document: object, status: int = 200, headers: dict[str, str] | None = None) -> SubmitOutcome:
    return DIALECT.read_created(status, headers or {}, orjson.dumps(document))


def refused(status: int, reason: str) -> SubmitOutcome:
    return created({"code": status, "reason": reason, "message": "no", "metadata": {"trace_id": "x"}}, status)


# ---- writing ----


def test_the_body_is_flat_with_vidus_model_name_and_our_reference() -> None:
    assert wire({"prompt": "p", "duration": 0}, callback_url="https://gw.example.com/callbacks/t") == {
        "model": "viduq2-pro",
        "prompt": "p",
        "duration": 0,
        "payload": "ref",
        "callback_url": "https://gw.example.com/callbacks/t",
    }


def test_a_model_without_a_vidu_name_is_sent_unchanged() -> None:
    assert wire({}, model="viduq3") == {"model": "viduq3", "payload": "ref"}


def test_unset_parameters_and_those_of_the_gateway_are_not_sent() -> None:
    params: dict[str, object] = {"seed": 0, "videos": [], "off_peak": False, "wm_url": None}
    theirs: dict[str, object] = {
        "model": "x",
        "payload": "theirs",
        "callback_url": "https://client.example.com",
    }
    assert wire({**params, **theirs}) == {"model": "viduq2-pro", "payload": "ref"}


def test_the_body_ends_with_the_brace_that_makes_it_json() -> None:
    _, body = DIALECT.create_request({"prompt": "p"}, model="m", callback_url=None, reference="r")
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body[:-1])


def test_the_key_is_a_token() -> None:
    assert DIALECT.headers("sk-1") == {"authorization": "Token sk-1"}


@pytest.mark.parametrize(
    ("task_id", "segment"), [("9110", "9110"), ("../x", "..%2Fx"), ("..", "%2E%2E"), ("a?b", "a%3Fb")]
)
def test_an_id_cannot_change_the_path(task_id: str, segment: str) -> None:
    assert DIALECT.query_path(task_id) == f"/ent/v2/tasks/{segment}/creations"
    path, _ = DIALECT.cancel_request(task_id)
    assert path == f"/ent/v2/tasks/{segment}/cancel"


# ---- the reading of a paid POST ----


def test_an_answer_with_an_id_is_accepted() -> None:
    assert created(CREATED) == Accepted("911088422699962368")
    assert created({"task_id": 911088422699962368}, 202) == Accepted("911088422699962368")


def test_a_task_that_finished_at_once_has_its_state() -> None:
    outcome = created({**CREATED, "state": "failed", "err_code": "AuditSubmitIllegal"})
    assert outcome == Accepted(
        "911088422699962368",
        Snapshot(
            "911088422699962368",
            TaskStatus.FAILED,
            "failed",
            metadata={"credits": 55},
            error=UpstreamError("AuditSubmitIllegal", "the upstream gave no reason but its code"),
            reference="ref",
        ),
    )


@pytest.mark.parametrize(
    "document",
    [None, [], "t1", {}, {"state": "created"}, {"task_id": ""}, {"code": 400, "reason": "BadRequest"}],
)
def test_success_without_an_id_is_unknown(document: object) -> None:
    assert isinstance(created(document), Unknown)


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b'{"task_id":"1"', b"\xff", b"[" * 500])
def test_success_that_cannot_be_read_is_unknown(body: bytes) -> None:
    assert isinstance(DIALECT.read_created(200, {}, body), Unknown)


OUTCOMES: list[tuple[int, type[SubmitOutcome]]] = [
    *((status, Rejected) for status in (400, 404, 405, 413, 415, 422)),
    *((status, AccountRefused) for status in (401, 402, 403)),
    (429, Busy),
    *((status, Unknown) for status in (101, 300, 302, 307, 408, 409, 410, 418, 425, 499)),
    *((status, Unknown) for status in (500, 502, 503, 504, 599)),
]


@pytest.mark.parametrize(("status", "wanted"), OUTCOMES)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"reason":"BadRequest"}', b'{"task_id":"1","state":"x"}'])
def test_the_status_decides_the_outcome(status: int, wanted: type[SubmitOutcome], body: bytes) -> None:
    assert type(DIALECT.read_created(status, {}, body)) is wanted


REASONS: list[tuple[int, str, type[SubmitOutcome]]] = [
    *(
        (400, reason, Rejected)
        for reason in (
            *("BadRequest", "FieldLacking", "FieldUnwanted", "FieldInvalid", "FieldItemCountOutOfRange"),
            *("PageSizeOutOfRange", "ImageDownloadFailure", "ImageFormatInvalid", "ImageObjectsUndetected"),
            *("TaskPromptPolicyViolation", "AuditSubmitIllegal", "CreationPolicyViolation", "UserCancelled"),
        )
    ),
    *((400, reason, AccountRefused) for reason in ("CreditInsufficient", "ModelUnavailable")),
    (401, "Unauthorized", AccountRefused),
    (403, "Forbidden", AccountRefused),
    (400, "OperationInProcess", Busy),
    *((429, reason, Busy) for reason in ("QuotaExceeded", "TooManyRequests", "SystemThrottling")),
    (400, "SystemThrottling", Busy),
    (429, "CreditInsufficient", AccountRefused),
    (404, "TaskNotFound", Rejected),
    (409, "Conflict", Unknown),
    (499, "Canceled", Unknown),
    (500, "InternalServiceFailure", Unknown),
    # A status that promises that there is no task, beside a reason that does not.
    *((400, reason, Unknown) for reason in ("Conflict", "Canceled", "InternalServiceFailure")),
    # A reason that promises it, beside a status that does not.
    *((status, "SystemThrottling", Unknown) for status in (409, 503)),
    (500, "CreditInsufficient", Unknown),
]


@pytest.mark.parametrize(("status", "reason", "wanted"), REASONS)
def test_the_reason_decides_the_kind_of_refusal(
    status: int, reason: str, wanted: type[SubmitOutcome]
) -> None:
    outcome = refused(status, reason)
    assert type(outcome) is wanted
    if isinstance(outcome, AccountRefused | Rejected):
        assert outcome.error == UpstreamError(reason, "no")


def test_an_account_refusal_keeps_its_status() -> None:
    assert refused(400, "CreditInsufficient") == AccountRefused(
        UpstreamError("CreditInsufficient", "no"), 400
    )


def test_a_reason_without_a_message_is_kept() -> None:
    outcome = created({"code": 400, "reason": "FieldUnwanted", "message": ""}, 400)
    assert outcome == Rejected(UpstreamError("FieldUnwanted", "the upstream gave no reason"))


def test_the_wait_that_is_asked_for_is_kept() -> None:
    assert created({"message": "slow"}, 429, {"retry-after": "7"}) == Busy("429: slow", 7.0)
