"""The signature of a vidu callback. Like the real one, it does not cover the body."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

ACCESS_KEY = "vidu"
_NONCE = "x-request-nonce"


def signature(
    key: str,
    method: str,
    path: str,
    query: str,
    date: str,
    signed: Sequence[tuple[str, str]],
    access_key: str = ACCESS_KEY,
) -> str:
    """HMAC-SHA256 in Base64. `signed`: (name, value) of each listed header, as listed and in that order."""
    text = "\n".join([method, path, query, access_key, date]) + "\n"
    text += "".join(f"{name}:{value}\n" for name, value in signed)
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


def signed_headers(key: str, url: str, date: str, nonce: str) -> dict[str, str]:
    """The headers of a signed POST to `url`. `date`: in the form of an HTTP date."""
    parts = urlsplit(url)
    signed = [("Date", date), (_NONCE, nonce)]
    return {
        "Date": date,
        _NONCE: nonce,
        "X-HMAC-SIGNED-HEADERS": ";".join(name for name, _ in signed),
        "X-HMAC-ALGORITHM": "hmac-sha256",
        "X-HMAC-ACCESS-KEY": ACCESS_KEY,
        "X-HMAC-SIGNATURE": signature(key, "POST", parts.path or "/", parts.query, date, signed),
    }
