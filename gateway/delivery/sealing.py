"""Encrypts the values of the headers that an endpoint adds: they may be secrets of the subscriber.

AES-256-GCM. The key is derived from a key of the keyring, whose name is stored beside the values, so a leak
of Redis does not leak them. Each value is bound to its endpoint and the name of its header. Records from
before have their values in clear; they are encrypted when the endpoint is next written.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.delivery.headers import MASK
from gateway.endpoints import Endpoint, SealedHeaders
from gateway.environment import Environment
from gateway.errors import ConfigurationError
from gateway.keyring import Keyring

_PURPOSE: Final = "endpoint headers"
_NONCE_BYTES: Final = 12
_ENTROPY: Final = Environment().entropy


def with_headers(keyring: Keyring, endpoint: Endpoint, headers: Mapping[str, str]) -> Endpoint:
    """The endpoint with these headers, encrypted with the active key."""
    if not headers:
        return replace(endpoint, headers={}, sealed_headers=None)
    kid = keyring.active_kid
    values = {name: _sealed(keyring, kid, endpoint.id, name, value) for name, value in headers.items()}
    return replace(endpoint, headers={}, sealed_headers=SealedHeaders(kid, values))


def renewed(keyring: Keyring, endpoint: Endpoint) -> Endpoint:
    """The endpoint with its headers encrypted with the active key. Unchanged if they cannot be read."""
    sealed = endpoint.sealed_headers
    if not endpoint.headers and (sealed is None or sealed.kid == keyring.active_kid):
        return endpoint
    try:
        return with_headers(keyring, endpoint, headers_of(keyring, endpoint))
    except ConfigurationError:
        return endpoint


def headers_of(keyring: Keyring, endpoint: Endpoint) -> dict[str, str]:
    """The headers in clear. ConfigurationError if their key left the keyring, or if they were altered."""
    sealed = endpoint.sealed_headers
    if sealed is None or endpoint.headers:  # a process of an older version wrote them since
        return dict(endpoint.headers)
    if sealed.kid not in keyring:
        raise ConfigurationError(
            f"the keyring has no key {sealed.kid}, with which the endpoint's headers were encrypted"
        )
    return {
        name: _opened(keyring, sealed.kid, endpoint.id, name, value) for name, value in sealed.values.items()
    }


def masked(endpoint: Endpoint) -> dict[str, str]:
    """The headers as they are shown: their names only."""
    sealed = endpoint.sealed_headers.values if endpoint.sealed_headers else {}
    return dict.fromkeys(endpoint.headers or sealed, MASK)


def _sealed(keyring: Keyring, kid: str, endpoint_id: str, name: str, value: str) -> str:
    nonce = _ENTROPY(_NONCE_BYTES)
    box = AESGCM(keyring.encryption_key(kid, _PURPOSE))
    return base64.b64encode(nonce + box.encrypt(nonce, value.encode(), _bound(endpoint_id, name))).decode()


def _opened(keyring: Keyring, kid: str, endpoint_id: str, name: str, sealed: str) -> str:
    try:
        raw = base64.b64decode(sealed, validate=True)
        box = AESGCM(keyring.encryption_key(kid, _PURPOSE))
        nonce, text = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
        return box.decrypt(nonce, text, _bound(endpoint_id, name)).decode()
    except (InvalidTag, ValueError):
        raise ConfigurationError(
            f"the stored value of the header {name} cannot be decrypted with the key {kid}"
        ) from None


def _bound(endpoint_id: str, name: str) -> bytes:
    return f"{endpoint_id} {name}".encode()
