"""Tenants and their client keys, which say who may do what. Only hashes of keys are stored."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.lifecycle import OnUnknown
from gateway.money.budgets import Budgets

TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
_KEY: Final = re.compile(r"vgw_([0-9a-f]{12})_([0-9a-f]{48})\Z")


@dataclass(frozen=True, slots=True)
class Tenant:
    """The owner of keys, jobs and endpoints, and what operators set for it; None: the service's default.

    `title`: a name for people. `weight`: its share of the upstream, in proportion, while other tenants wait
    too; `in_flight`: the most tasks at the upstream at once; `queue_max`: the most waiting jobs; `rate`: jobs
    per second that it may post; `burst`: jobs that it may post at once; `networks`: CIDRs that its webhooks
    may go to in addition. `paused_at` (ms): since when nothing of it is sent; `paused_by`: the operator.
    `budgets`: of the tenant; `key_budgets`: of single keys, by their ids.
    `stored`: bytes that count for it in Redis; `media`: bytes of inline media of its unfinished jobs;
    `uploads`: bytes of its `upload_count` uploads; `results`: bytes of the copies of its results.
    """

    name: str
    created_at: int | None = None
    title: str | None = None
    on_unknown: OnUnknown | None = None
    weight: int | None = None
    in_flight: int | None = None
    queue_max: int | None = None
    rate: float | None = None
    burst: int | None = None
    networks: tuple[str, ...] | None = None
    budgets: Budgets = field(default_factory=dict)
    key_budgets: Mapping[str, Budgets] = field(default_factory=dict)
    paused_at: int | None = None
    paused_by: str | None = None
    paused_reason: str | None = None
    stored: int = 0
    media: int = 0
    uploads: int = 0
    upload_count: int = 0
    results: int = 0


class Scope(StrEnum):
    JOBS_WRITE = "jobs:write"
    JOBS_READ = "jobs:read"
    ENDPOINTS_WRITE = "endpoints:write"
    OPS_READ = "ops:read"
    OPS_WRITE = "ops:write"


#: The scopes that an ordinary client needs.
CLIENT_SCOPES: Final = (Scope.JOBS_WRITE, Scope.JOBS_READ, Scope.ENDPOINTS_WRITE)


@dataclass(frozen=True, slots=True)
class Key:
    """A client key as it is stored. Times: ms.

    `digest`: the SHA-256 of its secret part; that has 192 random bits, so a slow hash would add nothing.
    `replaces`: the key that it replaces, after a rotation; `last_used_at`: to the minute.
    """

    id: str
    tenant: str
    scopes: frozenset[Scope]
    digest: str
    name: str
    created_at: int
    revoked_at: int | None = None
    expires_at: int | None = None
    replaces: str | None = None
    last_used_at: int | None = None

    def matches(self, secret: str) -> bool:
        """Whether this is the secret of the key, compared in constant time. False if the key was revoked."""
        same = hmac.compare_digest(self.digest, digest_of(secret))
        return same and self.revoked_at is None

    def expired(self, now: int) -> bool:
        return self.expires_at is not None and now >= self.expires_at


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def split_key(text: str) -> tuple[str, str] | None:
    """The id and the secret of `vgw_<id>_<secret>`; None if the text is not a key."""
    found = _KEY.match(text)
    return (found[1], found[2]) if found else None


def new_key(entropy: Callable[[int], bytes]) -> tuple[str, str, str]:
    """A new key: its id, its secret, and the whole text for the client."""
    key_id, secret = entropy(6).hex(), entropy(24).hex()
    return key_id, secret, f"vgw_{key_id}_{secret}"


def mint(
    entropy: Callable[[int], bytes],
    now: int,
    tenant: str,
    scopes: Iterable[Scope],
    name: str,
    *,
    expires_at: int | None = None,
    replaces: str | None = None,
) -> tuple[Key, str]:
    """A new key as it is stored, and its text, which is not stored anywhere."""
    key_id, secret, text = new_key(entropy)
    key = Key(key_id, tenant, frozenset(scopes), digest_of(secret), name, now, None, expires_at, replaces)
    return key, text
