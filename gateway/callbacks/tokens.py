"""The token in a job's callback URL: it names the job and the submission, and cannot be guessed.

`{kid}.{tenant}.{job}.{epoch}.{mac}`: safe in a URL path, at most 139 characters, verified without Redis. If
the submission used another account than `main`, the epoch is followed by `~` and that account. The upstream's
own signature does not cover a callback's body, so this token is the proof that a callback is genuine. It also
names the job if the task's id was never recorded.
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
    """What a verified token says: the submission (epoch) of a job, and its account."""

    kid: str
    tenant: str
    job_id: str
    epoch: int
    account: str = ACCOUNT


def make(keyring: Keyring, tenant: str, job_id: str, epoch: int, account: str = ACCOUNT) -> str:
    """The token of one submission, signed with the active key. ValueError if a part is not valid."""
    ref = CallbackRef(keyring.active_kid, tenant, job_id, epoch, account)
    token = f"{ref.kid}.{tenant}.{job_id}.{_submission(ref)}.{_mac(keyring, ref)}"
    if not CALLBACK_TOKEN.fullmatch(token):
        raise ValueError("tenant, job id, epoch or account does not have the form that a token needs")
    return token


def verify(keyring: Keyring, token: str) -> CallbackRef | None:
    """The submission that the token names; None for any other text."""
    if not (match := CALLBACK_TOKEN.fullmatch(token)):
        return None
    account = match["account"] or ACCOUNT
    ref = CallbackRef(match["kid"], match["tenant"], match["job"], int(match["epoch"]), account)
    if ref.kid not in keyring or match["account"] == ACCOUNT:  # `main` is never written: one spelling only
        return None
    # Compare the text, not the decoded bytes, so that a MAC has exactly one spelling.
    return ref if hmac.compare_digest(_mac(keyring, ref).encode(), match["mac"].encode()) else None


def make_probe(keyring: Keyring, minute: int) -> str:
    """A token for a probe of our own callback route, valid in this minute (since the epoch) and the next."""
    return f"{keyring.active_kid}.{_probe_mac(keyring, keyring.active_kid, minute)}"


def verify_probe(keyring: Keyring, token: str, minute: int) -> bool:
    """Whether this service made the token in this minute or the one before."""
    if not (match := _PROBE.fullmatch(token)) or match["kid"] not in keyring:
        return False
    given = match["mac"].encode()
    now, before = (_probe_mac(keyring, match["kid"], made).encode() for made in (minute, minute - 1))
    return hmac.compare_digest(now, given) | hmac.compare_digest(before, given)


def _mac(keyring: Keyring, ref: CallbackRef) -> str:
    return _text(keyring.derive(ref.kid, "callback-token", ref.kid, ref.tenant, ref.job_id, _submission(ref)))


def _submission(ref: CallbackRef) -> str:
    return str(ref.epoch) if ref.account == ACCOUNT else f"{ref.epoch}~{ref.account}"


def _probe_mac(keyring: Keyring, kid: str, minute: int) -> str:
    return _text(keyring.derive(kid, "callback-probe", kid, str(minute)))


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest[:_MAC_BYTES]).decode().rstrip("=")
