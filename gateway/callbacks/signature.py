"""Vidu's signature on a callback: HMAC-SHA256 over method, path, query and chosen headers, not over the body.

    METHOD, PATH, QUERY, access key, Date, then `name:value` for each name in X-HMAC-SIGNED-HEADERS

each with a newline behind it, the last one too.

It is Apache APISIX's `hmac-auth` under another name. Names are found in any case and signed as they are
listed. `Date` and the nonce must be among them, or the signature could be used for ever. Everything here is
bytes, so that no header, whatever stands in it, can raise.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final, NamedTuple

ACCESS_KEY: Final = b"vidu"
#: How far `Date` may be from our clock.
TOLERANCE_SECONDS: Final = 300
_PREFIX: Final = b"x-hmac-"
_DATE: Final = b"date"
_NONCE: Final = b"x-request-nonce"
_LISTED: Final = b"x-hmac-signed-headers"
_SIGNATURE: Final = b"x-hmac-signature"
_ALGORITHM: Final = b"x-hmac-algorithm"
_ACCESS_KEY: Final = b"x-hmac-access-key"
_HMAC_SHA256: Final = b"hmac-sha256"
_MAX_LISTED: Final = 16
_MAX_SIGNED_BYTES: Final = 16_384
_DATE_FORM: Final = re.compile(rb"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT")
_NONCE_FORM: Final = re.compile(rb"[!-~]{1,128}")

Headers = Sequence[tuple[bytes, bytes]]


class Verdict(StrEnum):
    VALID = "valid"
    ABSENT = "absent"  #: it was not signed at all
    WRONG = "wrong"  #: not made with this key for this request, or it leaves `Date` or the nonce uncovered
    STALE = "stale"  #: right, but its `Date` is too far from now, or is none


class Signature(NamedTuple):
    """`nonce`: to be used once; only of a valid signature."""

    verdict: Verdict
    nonce: str | None = None


def sign(
    key: bytes,
    method: str,
    path: str,
    query: str,
    date: bytes,
    signed: Headers,
    access_key: bytes = ACCESS_KEY,
) -> bytes:
    """In base64. `signed`: (name as listed, value), in the order listed."""
    head = (method.encode(), path.encode(), query.encode(), access_key, date)
    text = b"\n".join(head) + b"\n" + b"".join(b"%b:%b\n" % pair for pair in signed)
    return base64.b64encode(hmac.digest(key, text, "sha256"))


def verify(
    key: bytes,
    method: str,
    path: str,
    query: str,
    headers: Headers,
    now: float,
    access_key: bytes = ACCESS_KEY,
) -> Signature:
    """`path`, `query`: of the URL that the upstream was given, not of what a proxy made of it; `headers`: as
    they came, those that came twice included; `now`: seconds since the epoch. Never raises."""
    if not any(name.lower().startswith(_PREFIX) for name, _ in headers):
        return Signature(Verdict.ABSENT)
    found = _unambiguous(headers)
    signed = _signed(found)
    if (
        signed is None
        or found.get(_ALGORITHM) != _HMAC_SHA256
        or found.get(_ACCESS_KEY) != access_key
        or not _NONCE_FORM.fullmatch(found[_NONCE])
    ):
        return Signature(Verdict.WRONG)
    right = sign(key, method, path, query, found[_DATE], signed, access_key)
    if not hmac.compare_digest(right, found.get(_SIGNATURE, b"")):
        return Signature(Verdict.WRONG)
    if not _is_near(found[_DATE], now):
        return Signature(Verdict.STALE)
    return Signature(Verdict.VALID, found[_NONCE].decode())


def _unambiguous(headers: Headers) -> dict[bytes, bytes]:
    """By name in lower case, without those that came twice: two readers could mean two values by them."""
    found: dict[bytes, bytes] = {}
    twice: set[bytes] = set()
    for name, value in headers:
        lower = name.lower()
        if lower in found:
            twice.add(lower)
        found[lower] = value
    return {name: value for name, value in found.items() if name not in twice}


def _signed(found: Mapping[bytes, bytes]) -> Headers | None:
    """The listed headers as they are signed; None when one is missing, or one that must be listed is not."""
    listed = found.get(_LISTED, b"").split(b";", _MAX_LISTED)
    values = [(name, found.get(name.lower())) for name in listed]
    signed = [(name, value) for name, value in values if value is not None and b"\n" not in value]
    if len(signed) != len(listed) or len(signed) > _MAX_LISTED:
        return None
    if sum(len(name) + len(value) for name, value in signed) > _MAX_SIGNED_BYTES:
        return None
    return signed if {_DATE, _NONCE} <= {name.lower() for name, _ in signed} else None


def _is_near(date: bytes, now: float) -> bool:
    if not _DATE_FORM.fullmatch(date):
        return False
    try:
        moment = parsedate_to_datetime(date.decode())
    except ValueError:  # of the right form, but no day of the calendar
        return False
    return abs(moment.timestamp() - now) <= TOLERANCE_SECONDS
