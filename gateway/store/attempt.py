"""An attempt at a request that has no idempotency key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request of a client that sends none of our idempotency keys, but says how often it sent the request
    before: `number`. An attempt after the first finds the job that an earlier one made, if its answer was
    lost. `digest`: of what the request means. `for_ms`: how long its job can be found."""

    digest: str
    number: int
    for_ms: int = 900_000

    @classmethod
    def of(cls, door: str | None, fingerprint: str, number: int) -> Self:
        """`fingerprint`: of the request. Attempts belong to their door."""
        return cls(hashlib.sha256(f"{door}:{fingerprint}".encode()).hexdigest(), number)
