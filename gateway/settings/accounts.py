"""Upstream accounts: `main`, which has its own settings, and more accounts from a JSON list."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import SecretStr

from gateway.dispatch import ACCOUNT, AccountLimits

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
_FIELDS: Final = ("name", "key", "weight", "slots", "rate")
_MAX_WEIGHT: Final = 100
_MAX_ACCOUNTS: Final = 20
_EXAMPLE: Final = '[{"name": "second", "key": "...", "weight": 1, "slots": 5, "rate": 0}]'


@dataclass(frozen=True, slots=True)
class UpstreamAccount:
    """`limits`: its name and limits. `key`: its API key."""

    limits: AccountLimits
    key: SecretStr = field(repr=False)


@lru_cache(maxsize=8)  # a file is read once per process
def parse(text: str, main: UpstreamAccount) -> tuple[UpstreamAccount, ...]:
    """All accounts, `main` first. `text`: a JSON list, the path of a file with one, or empty. Raises
    ValueError with the account, the wrong field and what is allowed, but never with a key."""
    found = [main]
    for number, entry in enumerate(_entries(text), 1):
        account = _account(entry, number)
        name = account.limits.name
        if any(other.limits.name == name for other in found):
            raise ValueError(f"account {number}: name {name} is already used; names must be unique")
        for other in found:
            if other.key == account.key:
                raise ValueError(
                    f"account {name}: has the same key as {other.limits.name}; each account needs its own"
                )
        found.append(account)
    if len(found) > _MAX_ACCOUNTS:
        raise ValueError(f"at most {_MAX_ACCOUNTS} accounts, main included")
    return tuple(found)


def _entries(text: str) -> list[Any]:
    text = text.strip()
    if not text:
        return []
    if text[0] not in "[{":
        try:
            text = Path(text).read_text()
        except OSError as error:
            raise ValueError(f"neither a JSON list nor a readable file ({error.strerror})") from None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON (line {error.lineno}, column {error.colno}); like {_EXAMPLE}") from None
    if not isinstance(found, list):
        raise ValueError(f"must be a list of accounts, like {_EXAMPLE}")
    return found


def _account(entry: Any, number: int) -> UpstreamAccount:
    if not isinstance(entry, dict):
        raise ValueError(f"account {number}: must be an object with {', '.join(_FIELDS)}")
    name = entry.get("name")
    if not isinstance(name, str) or not NAME.match(name):
        raise ValueError(
            f"account {number}: name must be 1 to 32 of a-z, 0-9, _ and -, starting with a letter or digit"
        )
    if unknown := sorted(set(entry) - set(_FIELDS)):
        raise ValueError(f"account {name}: {unknown[0]} is not a field; the fields are {', '.join(_FIELDS)}")
    if name == ACCOUNT:
        raise ValueError(
            f"account {name}: this name is reserved for GATEWAY_UPSTREAM_KEY; choose another name, or set "
            "the key there"
        )
    key = entry.get("key")
    if not isinstance(key, str) or not key:
        raise ValueError(f"account {name}: key is missing; give the API key of the upstream as a string")
    limits = AccountLimits(
        name,
        slots=_whole(name, "slots", entry.get("slots", 5), 1, 100_000),
        weight=_whole(name, "weight", entry.get("weight", 1), 1, _MAX_WEIGHT),
        per_second=_rate(name, entry.get("rate", 0)),
    )
    return UpstreamAccount(limits, SecretStr(key))


def _whole(name: str, which: str, value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"account {name}: {which} must be a whole number from {least} to {most}")
    return value


def _rate(name: str, value: Any) -> float:
    if type(value) not in (int, float) or value < 0:
        raise ValueError(f"account {name}: rate must be submissions per second; 0 means no limit")
    return float(value)
