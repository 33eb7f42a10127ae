"""The capability in a job's callback URL: it names the job and the attempt, and cannot be guessed.

`{kid}.{tenant}.{job}.{epoch}.{mac}`, safe in a URL path, by its form at most 139 characters, verified
without Redis. The epoch is followed by `~` and the account that was sent with, if that is not `main`.
The upstream's own signature does not cover a callback's body, so this token is what tells a callback
from a forgery; and it names the job even if the task's id was never recorded.
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import Final, NamedTuple

from gateway.dispatch import ACCOUNT
from gateway.keyring import Keyring
from gateway.urls import CALLBACK_TOKEN

_MAC_BYTES: Final = 16
_PROBE: Final = re.compile(r"(?P<kid>[a-z0-9]{1,8})\.(?P<mac>[A-Za-z0-9_-]{22})")


class CallbackRef(NamedTuple):
    """What a verified token says: which attempt (epoch) of which job, and with which account."""

    kid: str
    tenant: str
    job_id: str
    epoch: int
    account: str = ACCOUNT


def make(keyring: Keyring, tenant: str, job_id: str, epoch: int, account: str = ACCOUNT) -> str:
    """The token of one attempt, under the active key. Raises ValueError for parts that are not valid."""
    ref = CallbackRef(keyring.active_kid, tenant, job_id, epoch, account)
    token = f"{ref.kid}.{tenant}.{job_id}.{_attempt(ref)}.{_mac(keyring, ref)}"
    if not CALLBACK_TOKEN.fullmatch(token):
        raise ValueError("tenant, job id, epoch or account is not of the right form for a callback token")
    return token


def verify(keyring: Keyring, token: str) -> CallbackRef | None:
    """Whose callback this is; None for whatever else anybody may send."""
    if not (match := CALLBACK_TOKEN.fullmatch(token)):
        return None
    account = match["account"] or ACCOUNT
    ref = CallbackRef(match["kid"], match["tenant"], match["job"], int(match["epoch"]), account)
    if ref.kid not in keyring or match["account"] == ACCOUNT:  # a token has one spelling
        return None
    # The text is compared, not its decoded bytes: one mac has exactly one spelling.
    return ref if hmac.compare_digest(_mac(keyring, ref).encode(), match["mac"].encode()) else None


def make_probe(keyring: Keyring, minute: int) -> str:
    """A token for a probe of our own callback route, good for this minute since the epoch and the next."""
    return f"{keyring.active_kid}.{_probe_mac(keyring, keyring.active_kid, minute)}"


def verify_probe(keyring: Keyring, token: str, minute: int) -> bool:
    """Whether it was made by this service in this minute or the one before."""
    if not (match := _PROBE.fullmatch(token)) or match["kid"] not in keyring:
        return False
    given = match["mac"].encode()
    now, before = (_probe_mac(keyring, match["kid"], made).encode() for made in (minute, minute - 1))
    return hmac.compare_digest(now, given) | hmac.compare_digest(before, given)


def _mac(keyring: Keyring, ref: CallbackRef) -> str:
    return _text(keyring.derive(ref.kid, "callback-token", ref.kid, ref.tenant, ref.job_id, _attempt(ref)))


def _attempt(ref: CallbackRef) -> str:
    return str(ref.epoch) if ref.account == ACCOUNT else f"{ref.epoch}~{ref.account}"


def _probe_mac(keyring: Keyring, kid: str, minute: int) -> str:
    return _text(keyring.derive(kid, "callback-probe", kid, str(minute)))


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest[:_MAC_BYTES]).decode().rstrip("=")
