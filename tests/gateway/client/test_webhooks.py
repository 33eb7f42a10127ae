"""What verifies as a webhook, and what does not."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from gateway.client import errors, webhooks
from gateway.client.network import Blocking
from gateway.delivery.signing import sign

NEW, OLD, OTHER = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in range(3))
BODY = json.dumps(
    {
        "type": "job.completed",
        "timestamp": "2026-12-01T08:00:00.000Z",
        "data": {"id": "job_1", "status": "completed", "progress": 1, "tomorrow": "s field"},
    }
).encode()


def headers(*secrets: str, at: float | None = None) -> dict[str, str]:
    return sign(secrets, "evt_1", int(at or time.time()), BODY)


def test_a_webhook_is_an_event() -> None:
    event = webhooks.verify(headers(NEW), BODY, secrets=[NEW])
    assert (event.id, event.type, event.body) == ("evt_1", "job.completed", BODY)
    assert event.timestamp == datetime(2026, 12, 1, 8, tzinfo=UTC)
    assert event.job is not None
    assert (event.job.id, event.job.final) == ("job_1", True)
    assert event.job.raw["tomorrow"] == "s field"


def test_headers_may_have_any_case_and_more() -> None:
    given = {name.title(): value for name, value in headers(NEW).items()} | {"Host": "x"}
    assert webhooks.verify(given, BODY, secrets=[NEW]).id == "evt_1"


def test_what_the_standard_library_signs_verifies() -> None:
    now = datetime.now(UTC)
    signed = Webhook(NEW).sign("evt_1", now, BODY.decode())
    given = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": f"v1a,asymmetric v1,AAAA {signed}",
    }
    assert webhooks.verify(given, BODY, secrets=[NEW]).id == "evt_1"


@pytest.mark.parametrize("signed_with", [(NEW, OLD), (OLD,), (NEW,)])
@pytest.mark.parametrize("known", [(NEW, OLD), (OLD, NEW)])
def test_both_secrets_of_a_rotation_verify(signed_with: tuple[str, ...], known: tuple[str, ...]) -> None:
    assert webhooks.verify(headers(*signed_with), BODY, secrets=known).id == "evt_1"


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_a_bad_signature(missing: str) -> None:
    given = {name: value for name, value in headers(NEW).items() if name != missing}
    with pytest.raises(errors.BadSignature, match=missing):
        webhooks.verify(given, BODY, secrets=[NEW])


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({}, BODY + b" "),
        ({"webhook-id": "evt_2"}, BODY),
        ({"webhook-timestamp": "1614265330"}, BODY),
        ({"webhook-signature": ""}, BODY),
        ({"webhook-signature": "v1,"}, BODY),
        ({"webhook-signature": "v1,ü"}, BODY),
    ],
)
def test_what_was_altered_is_a_bad_signature(changes: dict[str, str], body: bytes) -> None:
    with pytest.raises(errors.BadSignature):
        webhooks.verify({**headers(NEW), **changes}, body, secrets=[NEW])


@pytest.mark.parametrize("garbled", ["\ud800", "v1,\udfff", "\0", "v1,\n"])
@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_garbled_header_is_a_bad_signature(name: str, garbled: str) -> None:
    with pytest.raises(errors.BadSignature):
        webhooks.verify({**headers(NEW), name: garbled}, BODY, secrets=[NEW])


def test_another_secret_is_a_bad_signature() -> None:
    with pytest.raises(errors.BadSignature):
        webhooks.verify(headers(OTHER), BODY, secrets=[NEW, OLD])


@pytest.mark.parametrize("seconds", [-301, 302])
def test_what_was_signed_at_another_time_is_too_old(seconds: int) -> None:
    given = headers(NEW, at=time.time() + seconds)
    with pytest.raises(errors.TooOld):
        webhooks.verify(given, BODY, secrets=[NEW])
    assert webhooks.verify(given, BODY, secrets=[NEW], tolerance=1000).id == "evt_1"


@pytest.mark.parametrize("secrets", [[], [""], ["whsec_"], ["whsec_!"]])
def test_without_a_secret_nothing_is_verified(secrets: list[str]) -> None:
    with pytest.raises(ValueError, match="secret"):
        webhooks.verify(headers(NEW), BODY, secrets=secrets)


def test_a_wrong_call_says_what_to_pass() -> None:
    with pytest.raises(TypeError, match="secrets: pass a list"):
        webhooks.verify(headers(NEW), BODY, secrets=NEW)
    parsed: Any = BODY.decode()
    with pytest.raises(TypeError, match="pass the raw bytes of the request, not str"):
        webhooks.verify(headers(NEW), parsed, secrets=[NEW])


def test_a_test_can_sign_as_the_gateway_does() -> None:
    now = int(time.time())
    assert webhooks.sign(BODY, NEW, event_id="evt_1", timestamp=now) == sign([NEW], "evt_1", now, BODY)
    assert webhooks.verify(webhooks.sign(BODY, NEW), BODY, secrets=[NEW]).id == "evt_test"


@pytest.mark.parametrize("body", [b"[]", b"3", b"", b"\xff", b'"type"'])
def test_a_signed_body_that_is_no_object_is_refused(body: bytes) -> None:
    given = sign([NEW], "evt_1", int(time.time()), body)
    with pytest.raises(errors.InvalidWebhook, match="no event"):
        webhooks.verify(given, body, secrets=[NEW])


def test_a_callback_in_the_form_of_another_api_is_an_event_without_a_type() -> None:
    task = {"id": "job_1", "state": "success", "job": {}, "timestamp": 3}
    body = json.dumps(task).encode()
    event = webhooks.verify(sign([NEW], "evt_1", int(time.time()), body), body, secrets=[NEW])
    assert (event.id, event.type, event.job, event.body) == ("evt_1", "", None, body)
    assert event.raw == task


def test_a_webhook_is_verified_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Blocking, "run")
    assert webhooks.verify(headers(NEW), BODY, secrets=[NEW]).job
