"""Client keys: who may do what, for which tenant. Only hashes of keys are kept."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
_KEY: Final = re.compile(r"vgw_([0-9a-f]{12})_([0-9a-f]{48})\Z")


class Scope(StrEnum):
    JOBS_WRITE = "jobs:write"
    JOBS_READ = "jobs:read"
    ENDPOINTS_WRITE = "endpoints:write"
    OPS_READ = "ops:read"
    OPS_WRITE = "ops:write"


#: What an ordinary client needs.
CLIENT_SCOPES: Final = (Scope.JOBS_WRITE, Scope.JOBS_READ, Scope.ENDPOINTS_WRITE)


@dataclass(frozen=True, slots=True)
class Key:
    """A client key as stored: `digest` is the SHA-256 of its secret part (192 random bits, so that a
    slow hash would add nothing)."""

    id: str
    tenant: str
    scopes: frozenset[Scope]
    digest: str
    name: str
    created_at: int
    revoked_at: int | None = None

    def opens(self, secret: str) -> bool:
        """Whether this secret is the key's, compared in constant time; never once it was revoked."""
        same = hmac.compare_digest(self.digest, digest_of(secret))
        return same and self.revoked_at is None


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def split_key(text: str) -> tuple[str, str] | None:
    """The id and the secret of `vgw_<id>_<secret>`, or None when the text is no key."""
    found = _KEY.match(text)
    return (found[1], found[2]) if found else None


def new_key(entropy: Callable[[int], bytes]) -> tuple[str, str, str]:
    """A fresh key: its id, its secret, and the whole text to hand over."""
    key_id, secret = entropy(6).hex(), entropy(24).hex()
    return key_id, secret, f"vgw_{key_id}_{secret}"
