"""The users of deploy/redis, with a password, and what a server denied to them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import redis

FOLDER: Final = Path(__file__).parents[1] / "deploy" / "redis"
PASSWORD: Final = "least"
_DIGEST: Final = hashlib.sha256(PASSWORD.encode()).hexdigest()


def users(name: str = "users.acl") -> str:
    """The shipped file, with a password in each place; the default user may do everything, for the tests."""
    text = (FOLDER / name).read_text()
    for role in ("GATEWAY", "PEER"):
        text = text.replace(f"PASSWORD_OF_{role}_SHA256", _DIGEST)
    return text.replace("user default off", "user default on nopass ~* &* +@all")


def as_gateway(url: str) -> str:
    """The URL, for the user of gateways and workers."""
    scheme, _, place = url.partition("://")
    return f"{scheme}://gateway:{PASSWORD}@{place}"


def denied(client: redis.Redis) -> list[tuple[str, str, str]]:
    """(user, why, the command, key or channel) of each denial since the server started."""
    found: Any = client.execute_command("ACL", "LOG", 128)  # type: ignore[no-untyped-call]
    return [(one["username"], one["reason"], one["object"]) for one in map(_fields, found)]


def assert_nothing_was_denied(client: redis.Redis) -> None:
    if found := denied(client):
        raise AssertionError(f"deploy/redis/users.acl forbids what is needed: {found}")


def _fields(entry: Any) -> dict[str, str]:
    fields = entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))
    return {_text(name): _text(value) for name, value in fields.items()}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
