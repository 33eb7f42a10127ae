"""Signs a webhook as defined by Standard Webhooks 1.0: each attempt, over the bytes that are sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook


def sign(secrets: Sequence[str], event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt.

    `secrets`: the current one first, then those still valid after a rotation, each as `whsec_...`;
    `timestamp`: unix seconds of this attempt; verifiers accept a difference of 300; `body`: UTF-8.
    ValueError if there is no secret, or if a dot in the id would make the signed text ambiguous.
    """
    if not secrets or "." in event_id:
        raise ValueError("a webhook needs a secret, and an event id without dots")
    # The library ignores the zone of the datetime and treats it as UTC, so it must be UTC.
    moment = datetime.fromtimestamp(timestamp, UTC)
    text = body.decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(Webhook(secret).sign(event_id, moment, text) for secret in secrets),
    }
