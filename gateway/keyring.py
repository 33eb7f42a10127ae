"""The service's secrets, each with a name, so that they can be replaced while old ones still count.

A keyring is one setting, `kid1:base64,kid0:base64`: the first key is the active one, the others only
verify and derive what was made under them. To rotate, put a new key in front. Every webhook secret and
callback token is derived from a key, so none of them is ever stored.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Final

from gateway.environment import Environment
from gateway.errors import ConfigurationError

MIN_SECRET_BYTES: Final = 32
_KID: Final = re.compile(r"[a-z0-9]{1,8}")
_DOMAIN: Final = b"vidu-gateway keyring 1"
_ENTROPY: Final = Environment().entropy


class Keyring:
    """Named secrets. Shows their names only, wherever it is printed."""

    __slots__ = ("_secrets", "active_kid")

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        self._secrets = dict(secrets)
        self.active_kid = next(iter(self._secrets))

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """Reads the setting. Raises ConfigurationError, which names the entry but never the secret."""
        secrets: dict[str, bytes] = {}
        for position, entry in enumerate(text.split(","), start=1):
            kid, _, encoded = entry.strip().partition(":")
            if not _KID.fullmatch(kid) or not encoded:
                # An entry without a colon may be a bare secret, so not even its start is shown.
                raise ConfigurationError(
                    f"key {position} is not of the form kid:base64, kid of [a-z0-9]{{1,8}}"
                )
            if kid in secrets:
                raise ConfigurationError(f"key {position} has the name of an earlier one, {kid}")
            secrets[kid] = _decode(encoded, position)
        return cls(secrets)

    @staticmethod
    def generate(entropy: Callable[[int], bytes] = _ENTROPY) -> str:
        """A new key under a new name, as `parse` reads it."""
        return f"{entropy(3).hex()}:{base64.b64encode(entropy(MIN_SECRET_BYTES)).decode()}"

    def derive(self, kid: str, *parts: str | bytes) -> bytes:
        """32 bytes, HMAC-SHA256 over the parts; the first part names the purpose.

        Each part is preceded by its length: ("ab", "c") and ("a", "bc") differ. Raises ConfigurationError
        when the key is not in the ring (any more).
        """
        secret = self._secrets.get(kid)
        if secret is None:
            raise ConfigurationError(f"the keyring has no key {kid}, under which something was made")
        encoded = [_DOMAIN, *(part.encode() if isinstance(part, str) else part for part in parts)]
        message = b"".join(len(part).to_bytes(8, "big") + part for part in encoded)
        return hmac.digest(secret, message, "sha256")

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
