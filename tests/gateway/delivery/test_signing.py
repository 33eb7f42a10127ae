"""Signatures are those of Standard Webhooks, to the byte."""

from __future__ import annotations

import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from gateway.delivery.signing import sign

ID_1, TS_1 = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
ID_2, TS_2 = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1649367553
K_1 = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
K_2 = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
K_3 = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
B_1 = b'{"test": 2432232314}'
B_2 = '{"title":"视频完成 ✓"}'.encode()
B_3 = b'{"email":"test@example.com","username":"test_user"}'
S_1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
S_4 = "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI="


@pytest.mark.parametrize(
    ("secrets", "event_id", "timestamp", "body", "signature"),
    [
        ([K_1], ID_1, TS_1, B_1, S_1),
        ([K_3], ID_2, TS_2, B_3, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
        ([K_1], ID_1, TS_1, B_2, "v1,kcEd7lyonuNwG5v8KICZ1PzyVsVX5VapEGbR98zzIPg="),
        ([K_2], ID_1, TS_1, B_1, S_4),
        ([K_2], ID_1, TS_1, B_2, "v1,4Y8coLGviobMIbpWE1e6sqNnr0PefdKwcjkBsAnh7rg="),
        ([K_1, K_2], ID_1, TS_1, B_1, f"{S_1} {S_4}"),
    ],
)
def test_known_answers(
    secrets: list[str], event_id: str, timestamp: int, body: bytes, signature: str
) -> None:
    assert sign(secrets, event_id, timestamp, body) == {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }


def test_during_a_rotation_each_secret_alone_verifies() -> None:
    headers = sign([K_1, K_2], "evt_1", int(time.time()), B_2)
    for secret in (K_1, K_2):
        assert Webhook(secret).verify(B_2, headers) == {"title": "视频完成 ✓"}
    with pytest.raises(WebhookVerificationError):
        Webhook(K_3).verify(B_2, headers)


@pytest.mark.parametrize(
    "change",
    [{"webhook-id": "evt_2"}, {"webhook-timestamp": "{now}"}, {"webhook-signature": S_1}],
)
def test_a_changed_header_does_not_verify(change: dict[str, str]) -> None:
    now = int(time.time())
    headers = sign([K_1], "evt_1", now - 10, B_1)
    changed = {name: value.format(now=now) for name, value in change.items()}
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(K_1).verify(B_1, headers | changed)


def test_a_changed_body_does_not_verify() -> None:
    headers = sign([K_1], "evt_1", int(time.time()), B_1)
    with pytest.raises(WebhookVerificationError):
        Webhook(K_1).verify(B_1 + b" ", headers)


@pytest.mark.parametrize("age", [301, -302])
def test_a_signature_is_valid_for_300_seconds_in_both_directions(age: int) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(K_1).verify(B_1, sign([K_1], "evt_1", int(time.time()) - age, B_1))


def test_a_signature_does_not_depend_on_the_local_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert sign([K_1], ID_1, TS_1, B_1)["webhook-signature"] == S_1
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        sign(["whsec_"], "evt_1", TS_1, B_1)


@pytest.mark.parametrize(("secrets", "event_id"), [([], "evt_1"), ([K_1], "evt.1")])
def test_no_secret_or_an_ambiguous_id_is_refused(secrets: list[str], event_id: str) -> None:
    with pytest.raises(ValueError, match="a webhook needs"):
        sign(secrets, event_id, TS_1, B_1)
