"""Vidu's signature of a callback: HMAC-SHA256 over method, path, query and chosen headers, not over the body.

The signed text has these lines, each followed by a newline, also the last one:

    METHOD, PATH, QUERY, access key, Date, then `name:value` for each name in X-HMAC-SIGNED-HEADERS

The scheme is Apache APISIX's `hmac-auth` with other header names. Header names are matched in any case, and
signed in the case of the list. `Date` and the nonce must be in the list, or the signature could be reused
forever. This module handles bytes only, so that no header value can make it raise.
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
#: The largest allowed difference between `Date` and our clock.
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


class SignatureStatus(StrEnum):
    VALID = "valid"
    ABSENT = "absent"  #: the request was not signed
    WRONG = "wrong"  #: not made with this key for this request, or it does not cover `Date` and the nonce
    STALE = "stale"  #: correct, but its `Date` is invalid or too far from now


class Signature(NamedTuple):
    """The result of a check. `nonce`: may be used once; only set if the signature is valid."""

    status: SignatureStatus
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
    """The signature in Base64. `signed`: (name, value) of each listed header, as listed and in that order."""
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
    """Checks the signature of a request. Never raises.

    `path`, `query`: those of the URL that we gave to the upstream, not those that a proxy made of it.
    `headers`: as they came, with repeated ones. `now`: seconds since the epoch.
    """
    if not any(name.lower().startswith(_PREFIX) for name, _ in headers):
        return Signature(SignatureStatus.ABSENT)
    found = _unambiguous(headers)
    signed = _signed(found)
    if (
        signed is None
        or found.get(_ALGORITHM) != _HMAC_SHA256
        or found.get(_ACCESS_KEY) != access_key
        or not _NONCE_FORM.fullmatch(found[_NONCE])
    ):
        return Signature(SignatureStatus.WRONG)
    right = sign(key, method, path, query, found[_DATE], signed, access_key)
    if not hmac.compare_digest(right, found.get(_SIGNATURE, b"")):
        return Signature(SignatureStatus.WRONG)
    if not _is_near(found[_DATE], now):
        return Signature(SignatureStatus.STALE)
    return Signature(SignatureStatus.VALID, found[_NONCE].decode())


def _unambiguous(headers: Headers) -> dict[bytes, bytes]:
    """Headers by lower-case name, without repeated ones: two readers could take different values of them."""
    found: dict[bytes, bytes] = {}
    repeated: set[bytes] = set()
    for name, value in headers:
        lower = name.lower()
        if lower in found:
            repeated.add(lower)
        found[lower] = value
    return {name: value for name, value in found.items() if name not in repeated}


def _signed(found: Mapping[bytes, bytes]) -> Headers | None:
    """The listed headers as they are signed; None if a header is missing, or a required one is not listed."""
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
    except ValueError:  # it has the right form, but is not a day of the calendar
        return False
    return abs(moment.timestamp() - now) <= TOLERANCE_SECONDS
