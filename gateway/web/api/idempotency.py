"""The Idempotency-Key of operations that create something: the header, and what is stored of it."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

import orjson
from pydantic import BaseModel

from gateway.endpoints import Endpoint, Idempotency
from gateway.errors import IdempotencyMismatch
from gateway.keyring import Keyring
from gateway.web.http.params import InvalidValue, Param

_MAX_CHARACTERS: Final = 255
_PATTERN: Final = f"^[!-~]{{1,{_MAX_CHARACTERS}}}$"
_VISIBLE: Final = re.compile(_PATTERN.removesuffix("$") + r"\Z")
#: The header of a response that shows what an earlier request created.
REPLAYED: Final[Mapping[str, str]] = {"idempotent-replayed": "true"}


def key_param(description: str) -> Param[str | None]:
    """The header `Idempotency-Key`. None: not sent."""
    schema = {"type": "string", "pattern": _PATTERN}
    return Param("Idempotency-Key", description, schema, _visible, None)


def _visible(text: str) -> str:
    if _VISIBLE.match(text):
        return text
    raise InvalidValue("wrong_form", f"send 1 to {_MAX_CHARACTERS} visible ASCII characters")


def to_store(keyring: Keyring, key: str | None, body: BaseModel) -> Idempotency | None:
    """What an endpoint stores of the key and the body that create it; None without a key."""
    if key is None:
        return None
    digest = hashlib.sha256(key.encode()).hexdigest()
    return Idempotency(digest, _fingerprint(keyring, keyring.active_kid, body))


def check_same(keyring: Keyring, endpoint: Endpoint, body: BaseModel) -> None:
    """Raises IdempotencyMismatch if the endpoint was not created with this body. If the key of its
    fingerprint left the keyring, nobody can tell, and nothing is shown."""
    stored = endpoint.idempotency.fingerprint if endpoint.idempotency else ""
    kid = stored.partition(".")[0]
    if kid not in keyring or not hmac.compare_digest(stored, _fingerprint(keyring, kid, body)):
        raise IdempotencyMismatch(endpoint.id)


def _fingerprint(keyring: Keyring, kid: str, body: BaseModel) -> str:
    given = orjson.dumps(body.model_dump(), option=orjson.OPT_SORT_KEYS)
    return f"{kid}.{keyring.derive(kid, 'idempotency-fingerprint', given).hex()}"
