"""Signed addresses: whoever has one may fetch the file until it expires, without a key.

`/media/{token}` serves an upload to the upstream. `.../content?variant=V&exp=T&kid=K&sig=S` serves the result
of a job to anybody with whom its owner shares the link. Both are an HMAC over what they open and until when,
under the keyring, so nothing is stored. A token is a credential: it must not be logged.
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import Final, NamedTuple
from urllib.parse import urlencode

from gateway.keyring import Keyring

_MAC_BYTES: Final = 24
_TOKEN: Final = re.compile(
    r"(?P<kid>[a-z0-9]{1,8})\.(?P<upload>upl_[0-9A-HJKMNP-TV-Z]{26})\.(?P<until>[1-9][0-9]{0,10})"
    r"\.(?P<mac>[A-Za-z0-9_-]{32})"
)
UPLOAD_ID: Final = re.compile(r"upl_[0-9A-HJKMNP-TV-Z]{26}")


class MediaRef(NamedTuple):
    """What a verified token says. `expires_at`: seconds since the epoch; the caller compares it."""

    upload_id: str
    expires_at: int


def media_token(keyring: Keyring, upload_id: str, expires_at: int) -> str:
    """The token in the address of an upload. `expires_at`: seconds since the epoch."""
    kid = keyring.active_kid
    return f"{kid}.{upload_id}.{expires_at}.{_media_mac(keyring, kid, upload_id, expires_at)}"


def read_media_token(keyring: Keyring, token: str) -> MediaRef | None:
    """What the token opens; None for any other text."""
    if not (match := _TOKEN.fullmatch(token)) or match["kid"] not in keyring:
        return None
    ref = MediaRef(match["upload"], int(match["until"]))
    right = _media_mac(keyring, match["kid"], ref.upload_id, ref.expires_at)
    return ref if hmac.compare_digest(right.encode(), match["mac"].encode()) else None


def content_link(keyring: Keyring, base: str, job_id: str, variant: str, expires_at: int) -> str:
    """The signed address of a result. `base`: of the gateway as clients reach it, without a slash at its
    end."""
    kid = keyring.active_kid
    signature = _content_mac(keyring, kid, job_id, variant, expires_at)
    query = urlencode({"variant": variant, "exp": expires_at, "kid": kid, "sig": signature})
    return f"{base}/v1/jobs/{job_id}/content?{query}"


def content_signed(keyring: Keyring, job_id: str, variant: str, exp: int, kid: str, sig: str) -> bool:
    """Whether this service made the link. The caller compares `exp` with its clock."""
    if kid not in keyring:
        return False
    right = _content_mac(keyring, kid, job_id, variant, exp)
    return hmac.compare_digest(right.encode(), sig.encode())


def _media_mac(keyring: Keyring, kid: str, upload_id: str, expires_at: int) -> str:
    return _text(keyring.derive(kid, "media-token", kid, upload_id, str(expires_at)))


def _content_mac(keyring: Keyring, kid: str, job_id: str, variant: str, expires_at: int) -> str:
    return _text(keyring.derive(kid, "content-link", kid, job_id, variant, str(expires_at)))


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest[:_MAC_BYTES]).decode().rstrip("=")
