"""An attempt at a request that has no idempotency key."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request of a client that sends none of our idempotency keys, but says how often it sent the request
    before: `number`. An attempt after the first finds the job that an earlier one made, if its answer was
    lost. `digest`: of what the request means. `for_ms`: how long its job can be found."""

    digest: str
    number: int
    for_ms: int = 900_000
