"""Verify a webhook without a library, for languages that have none."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

TOLERANCE_SECONDS = 300


# begin: verify
def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """`headers` have lower-case names; `body`: the raw bytes; `now`: Unix seconds."""
    key = base64.b64decode(secret.removeprefix("whsec_"))  # the key is the decoded Base64
    webhook_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if not key or not timestamp.isdecimal() or abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    matches = False
    for signature in headers["webhook-signature"].split(" "):  # several during a rotation
        matches |= hmac.compare_digest(signature.encode(), f"v1,{wanted}".encode())
    return matches


# end: verify
