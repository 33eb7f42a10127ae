"""The demo's own subscriber."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

from standardwebhooks.webhooks import Webhook as Standard

from gateway.commands.receiver import receiving

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=5)
    connection.request("POST", urlsplit(url).path, body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def signed(body: bytes) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": str(int(now.timestamp())),
        "Webhook-Signature": Standard(SECRET).sign("evt_1", now, body.decode()),
    }


def test_a_signed_webhook_is_kept_and_verified() -> None:
    body = b'{"type":"job.completed"}'
    with receiving(lambda: 17.0) as receiver:
        assert post(receiver.url, body, signed(body)) == 204
    (webhook,) = receiver.received
    assert (webhook.at, webhook.body) == (17.0, body)
    assert webhook.is_signed_with(SECRET)
    assert not webhook.is_signed_with(OTHER)


def test_a_webhook_without_signature_is_not_verified() -> None:
    with receiving(lambda: 0.0) as receiver:
        post(receiver.url, b"{}", {})
    assert not receiver.received[0].is_signed_with(SECRET)
