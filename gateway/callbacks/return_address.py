"""Whom a job's result is for, encrypted in the query of the URL that the upstream calls back.

A store that fails over may lose a job that the upstream has taken. Its callback rebuilds the job, and this
says which `callback_url` of the client to tell, and in which door's words.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.environment import Environment
from gateway.keyring import Keyring

#: The name of the query parameter.
PARAMETER: Final = "to"
_PURPOSE: Final = "return address"
_NONCE_BYTES: Final = 12
#: A longer URL is left out: the upstream may limit the length of what it calls back.
_MAX_CHARACTERS: Final = 1024
_ENTROPY: Final = Environment().entropy


class ReturnAddress(NamedTuple):
    """`door`: the API through which the job came, if not `/v1/jobs`."""

    callback_url: str
    door: str | None = None


def seal(keyring: Keyring, job_id: str, to: ReturnAddress) -> str | None:
    """The value of the parameter, encrypted with the active key and bound to the job. None if it would be too
    long."""
    if len(to.callback_url) > _MAX_CHARACTERS:
        return None
    box = AESGCM(keyring.encryption_key(keyring.active_kid, _PURPOSE))
    nonce = _ENTROPY(_NONCE_BYTES)
    sealed = box.encrypt(nonce, f"{to.door or ''} {to.callback_url}".encode(), job_id.encode())
    return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")


def unseal(keyring: Keyring, kid: str, job_id: str, value: str) -> ReturnAddress | None:
    """`kid`: the key that signed the callback's token. None for anything that `seal` did not make for this
    job."""
    try:
        raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        box = AESGCM(keyring.encryption_key(kid, _PURPOSE))
        text = box.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], job_id.encode()).decode()
    except (InvalidTag, ValueError, binascii.Error):
        return None
    door, _, url = text.partition(" ")
    return ReturnAddress(url, door or None)
