"""Verifies and signs webhooks (Standard Webhooks 1.0). It needs no client and no network."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Final

from .errors import BadSignature, InvalidWebhook, TooOld
from .models import Event
from .streaming import event

_TOLERANCE_SECONDS: Final = 300


def verify(
    headers: Mapping[str, str],
    raw_body: bytes,
    *,
    secrets: Sequence[str],
    tolerance: float = _TOLERANCE_SECONDS,
) -> Event:
    """The event in a request that the gateway sent you.

    `headers`: of the request, in any case; needed are `webhook-id`, `webhook-timestamp` (in seconds) and
    `webhook-signature` (`v1,` and Base64; several with spaces between them). `raw_body`: its bytes as they
    came, before any JSON parser. Signed is `id.timestamp.body`, with HMAC-SHA256. `secrets`: a list of the
    `whsec_...` of the endpoint (or of the tenant, for a job's `callback_url`); during a rotation, the new
    and the old one. `tolerance`: seconds that the clocks may differ.

    Raises BadSignature (a header is missing, or no signature matches), TooOld, or InvalidWebhook (it is
    signed, but no event), which is the base of both: answer 400 and do nothing. TypeError or ValueError: the
    call is wrong, or a secret. Events may come twice: remember `event.id`. The callback of a job that came by
    Vidu's or Vtrix's API is that API's task: its `type` is empty, and `raw` is it. See `sign` for your tests.
    """
    if isinstance(secrets, str):
        raise TypeError("secrets: pass a list, also for one secret")
    if not isinstance(raw_body, bytes):
        raise TypeError(f"raw_body: pass the raw bytes of the request, not {type(raw_body).__name__}")
    keys = [_key(secret) for secret in secrets]
    if not keys:
        raise ValueError("there is no secret: anybody could sign")
    given = {str(name).lower(): value for name, value in headers.items()}
    try:
        event_id, sent, signatures = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as missing:
        raise BadSignature(f"the header {missing} is missing") from None
    offered = [_bytes(part.removeprefix("v1,")) for part in signatures.split() if part.startswith("v1,")]
    right = [_signature(key, event_id, sent, raw_body) for key in keys]
    if not any(hmac.compare_digest(one, other) for one in right for other in offered):
        raise BadSignature(
            "no signature matches: is it the secret of this endpoint, and the body as it came?"
        )
    if not sent.isdecimal() or abs(time.time() - int(sent)) > tolerance:
        raise TooOld(f"it was signed at {sent}, which is more than {tolerance:g} s from now")
    try:
        found = json.loads(raw_body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidWebhook("the body is signed, but is no event of a vidu-gateway")
    if "type" not in found:
        return Event(id=event_id, type="", body=raw_body, raw=found)
    return event(event_id, str(found["type"]), raw_body)


def sign(
    raw_body: bytes, secret: str, *, event_id: str = "evt_test", timestamp: float | None = None
) -> dict[str, str]:
    """The headers that the gateway would send with this body: for tests of your endpoint.

    `timestamp`: seconds since 1970; None: now.
    """
    sent = int(time.time() if timestamp is None else timestamp)
    signature = _signature(_key(secret), event_id, str(sent), raw_body).decode()
    return {"webhook-id": event_id, "webhook-timestamp": str(sent), "webhook-signature": f"v1,{signature}"}


def _signature(key: bytes, event_id: str, sent: str, raw_body: bytes) -> bytes:
    return base64.b64encode(hmac.digest(key, _bytes(f"{event_id}.{sent}.") + raw_body, "sha256"))


def _bytes(text: str) -> bytes:
    """Of any text: a server may pass a garbled header on as half of a character."""
    return text.encode(errors="surrogatepass")


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError("a secret must be whsec_ and Base64")
    return key
