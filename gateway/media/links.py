"""Signed addresses: whoever has one may fetch the file until it expires, without a key.

`/media/{token}` serves an upload to the upstream. `.../content?variant=V&exp=T&kid=K&sig=S` serves the result
of a job to anybody with whom its owner shares the link. Both are an HMAC over what they open and until when,
under the keyring, so nothing is stored. A token is a credential: it must not be logged.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import urlencode

from gateway.keyring import Keyring
from gateway.urls import MEDIA_TOKEN, split_url

_MAC_BYTES: Final = 24
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
UPLOAD_ID: Final = re.compile(r"upl_[0-9A-HJKMNP-TV-Z]{26}")
MEDIA_PATH: Final = "/media/"


class MediaRef(NamedTuple):
    """What a verified token says. `expires_at`: seconds since the epoch; the caller compares it."""

    upload_id: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class MediaLinks:
    """The addresses of uploads at this gateway. `bases`: the addresses by which the upstream and clients
    reach it, without a slash at their ends."""

    keyring: Keyring | None = field(default=None, repr=False)
    bases: tuple[str, ...] = ()

    def address(self, base: str, upload_id: str, expires_at: int) -> str:
        """Where anybody can fetch the upload. `expires_at`: seconds since the epoch."""
        assert self.keyring is not None
        return f"{base}{MEDIA_PATH}{media_token(self.keyring, upload_id, expires_at)}"

    def upload_of(self, reference: str) -> str | None:
        """The upload that a reference means by its id or address; None if it means something else. Raises
        ValueError for an address that could only be one of ours, and is none. An expired one still names its
        upload: whether the client may use that, its owner decides."""
        if UPLOAD_ID.fullmatch(reference):
            return reference
        token = self._token_in(reference)
        if token is None:
            return None
        ref = read_media_token(self.keyring, token) if self.keyring else None
        if ref is None:
            raise ValueError("not an address that this service made")
        return ref.upload_id

    def _token_in(self, reference: str) -> str | None:
        if MEDIA_PATH not in reference:
            return None
        try:
            there = _place(reference)
        except ValueError:
            return None
        for base in self.bases:
            host, path = _place(base)
            start = f"{path.rstrip('/')}{MEDIA_PATH}"
            if there[0] == host and there[1].startswith(start):
                return there[1].removeprefix(start)
        return None


def _place(url: str) -> tuple[str, str]:
    """Host and target of a URL. The scheme does not matter: a proxy may end TLS. Raises ValueError."""
    scheme, host, target = split_url(url)
    return host.removesuffix(_DEFAULT_PORTS[scheme]), target


def media_token(keyring: Keyring, upload_id: str, expires_at: int) -> str:
    """The token in the address of an upload. `expires_at`: seconds since the epoch."""
    kid = keyring.active_kid
    return f"{kid}.{upload_id}.{expires_at}.{_media_mac(keyring, kid, upload_id, expires_at)}"


def read_media_token(keyring: Keyring, token: str) -> MediaRef | None:
    """What the token opens; None for any other text."""
    if not (match := MEDIA_TOKEN.fullmatch(token)) or match["kid"] not in keyring:
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
