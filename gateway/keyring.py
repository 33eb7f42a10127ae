"""The secrets of the service. Each has a name, so that a key can be replaced while old ones still work.

A keyring is one setting, `kid1:base64,kid0:base64`. The first key is the active one; the others only verify
and derive what was made with them. To rotate, put a new key in front. Webhook secrets and callback tokens are
derived from a key, so they are never stored.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.environment import Environment
from gateway.errors import ConfigurationError

MIN_SECRET_BYTES: Final = 32
_KID: Final = re.compile(r"[a-z0-9]{1,8}")
_DOMAIN: Final = b"vidu-gateway keyring 1"
_ENTROPY: Final = Environment().entropy


class Keyring:
    """Named secrets. Its `repr` shows only their names."""

    __slots__ = ("_secrets", "active_kid")

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        self._secrets = dict(secrets)
        self.active_kid = next(iter(self._secrets))

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """Reads the setting. ConfigurationError; it names the entry but never the secret."""
        secrets: dict[str, bytes] = {}
        for position, entry in enumerate(text.split(","), start=1):
            kid, _, encoded = entry.strip().partition(":")
            if not _KID.fullmatch(kid) or not encoded:
                # An entry without a colon may be a bare secret, so the message must not quote it.
                raise ConfigurationError(
                    f"key {position} does not have the form kid:base64, with a kid of [a-z0-9]{{1,8}}"
                )
            if kid in secrets:
                raise ConfigurationError(f"key {position} has the same name as an earlier one, {kid}")
            secrets[kid] = _decode(encoded, position)
        return cls(secrets)

    @staticmethod
    def generate(entropy: Callable[[int], bytes] = _ENTROPY) -> str:
        """A new key with a new name, in the form that `parse` reads."""
        return f"{entropy(3).hex()}:{base64.b64encode(entropy(MIN_SECRET_BYTES)).decode()}"

    def derive(self, kid: str, *parts: str | bytes) -> bytes:
        """32 bytes: HMAC-SHA256 over the parts. The first part names the purpose.

        Each part is preceded by its length, so ("ab", "c") and ("a", "bc") differ. ConfigurationError if the
        key is not in the keyring, or not any more.
        """
        secret = self._secrets.get(kid)
        if secret is None:
            raise ConfigurationError(f"the keyring has no key {kid}, which was used for an existing record")
        encoded = [_DOMAIN, *(part.encode() if isinstance(part, str) else part for part in parts)]
        message = b"".join(len(part).to_bytes(8, "big") + part for part in encoded)
        return hmac.digest(secret, message, "sha256")

    def encryption_key(self, kid: str, purpose: str) -> bytes:
        """32 bytes for AES: HKDF-SHA256 for this purpose. ConfigurationError if the key is not in the
        keyring."""
        secret = self._secrets.get(kid)
        if secret is None:
            raise ConfigurationError(f"the keyring has no key {kid}, which was used for an existing record")
        info = _DOMAIN + b" encryption " + purpose.encode()
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)

    @property
    def kids(self) -> tuple[str, ...]:
        """The names of all keys, the active one first."""
        return tuple(self._secrets)

    def __contains__(self, kid: object) -> bool:
        return kid in self._secrets

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._secrets)})"


def _decode(encoded: str, position: int) -> bytes:
    try:
        secret = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(f"the secret of key {position} is not base64") from None
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigurationError(f"the secret of key {position} has fewer than {MIN_SECRET_BYTES} bytes")
    return secret
