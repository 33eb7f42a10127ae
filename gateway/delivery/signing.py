"""Signs a webhook as defined by Standard Webhooks 1.0: each attempt, over the bytes that are sent."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from functools import lru_cache


def sign(secrets: Sequence[str], event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt.

    `secrets`: the current one first, then those still valid after a rotation, each as `whsec_...`;
    `timestamp`: unix seconds of this attempt; verifiers accept a difference of 300; `body`: UTF-8.
    ValueError if there is no secret, or if a dot in the id would make the signed text ambiguous.
    """
    if not secrets or "." in event_id:
        raise ValueError("a webhook needs a secret, and an event id without dots")
    signed = f"{event_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join([_signature(secret, signed) for secret in secrets]),
    }


def _signature(secret: str, signed: bytes) -> str:
    return f"v1,{b64encode(hmac.digest(_key(secret), signed, 'sha256')).decode()}"


@lru_cache(maxsize=1024)
def _key(secret: str) -> bytes:
    """ValueError for an empty secret, with which anybody could sign."""
    key = b64decode(secret.removeprefix("whsec_"))
    if not key:
        raise ValueError("a secret is empty")
    return key
