"""Lanes -> slots -> arq: what the three roles of the workers have in common.

A role has lanes (submit: a tenant; confirm: an upstream account; deliver: an endpoint), a number of
slots over all lanes, for each lane and in deliver for each tenant, and a lease. What may run now is moved
from the lanes to arq by one script, fairly between lanes, and that script writes the arq job too: there is
no second write that could be lost. arq is the doorbell and the runner; it never holds what may not run yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

#: Every key of the service, arq's own included, carries this hash tag, so that all share one slot.
PREFIX: Final = "{gw}:"

#: The most tickets that one run of the dispatch script dispatches: it blocks Redis while it runs.
BATCH: Final = 20

#: The upstream's account that there always is.
ACCOUNT: Final = "main"


class Role(StrEnum):
    SUBMIT = "submit"
    CONFIRM = "confirm"
    DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """When a subscriber's lane is paused, and an endpoint disabled. Times in ms.

    Of the results of the last `window_ms` (counted in stretches of `bucket_ms`) at least `percent` of at
    least `least` failed: the lane is paused for `park_ms`, twice as long each time that the one attempt which
    then tries it fails too, at most `park_most_ms`. An endpoint of which no attempt succeeded for
    `disable_ms` is disabled at the next failure, if two in that time lay `apart_ms` from each other.
    """

    window_ms: int = 300_000
    bucket_ms: int = 30_000
    least: int = 10
    percent: int = 70
    park_ms: int = 30_000
    park_most_ms: int = 900_000
    disable_ms: int = 432_000_000
    apart_ms: int = 43_200_000


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """What may be sent with one of the upstream's accounts: `slots` tasks at once, `per_second` submissions
    (0: any number), and of what any account may have, a share of `weight` (1 to 100)."""

    name: str
    slots: int
    weight: int = 1
    per_second: float = 0


@dataclass(frozen=True, slots=True)
class RoleLimits:
    """`slots`: at once over all lanes; `lane_slots`: at once in one lane, unless it has a cap of its own;
    `lease_ms`: how long a dispatched piece of work may go unheard of before it is dispatched again;
    `per_second`: how many may be dispatched in a second (0: as many as there are); `probe_ms`: between probes
    while the role's account is paused. `retry_share`: of the slots, and of those of a lane, how many retries
    may hold; new work may hold all. At 1 retries go first instead. Of the deliver role: `tenant_slots`, at
    once in all lanes of one tenant (0: as many as there are), and `health` of its lanes. Of the submit
    role: `accounts`, whose slots are the role's; without any there is `main`, which has them all."""

    slots: int
    lane_slots: int
    lease_ms: int
    per_second: float = 0
    probe_ms: int = 30_000
    retry_share: float = 1.0
    tenant_slots: int = 0
    health: HealthLimits = HealthLimits()
    accounts: tuple[AccountLimits, ...] = ()

    @property
    def all_accounts(self) -> tuple[AccountLimits, ...]:
        return self.accounts or (AccountLimits(ACCOUNT, self.slots),)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What waits in a lane: which one, and for what. `dispatch_number`: of its newest dispatch, whose holder
    alone may act on it."""

    role: Role
    lane: str
    name: str
    dispatch_number: int = 0

    def __str__(self) -> str:
        return f"{self.lane}|{self.name}"

    @classmethod
    def parse(cls, role: Role, text: str, dispatch_number: int = 0) -> Ticket:
        lane, _, name = text.partition("|")
        return cls(role, lane, name, dispatch_number)


def queue_name(role: Role) -> str:
    """arq's queue of a role."""
    return f"{PREFIX}{role}:arq"


def deserialize(raw: bytes) -> dict[str, Any]:
    """arq's record, which the dispatch script writes as JSON (arq's own is pickle, which would let whoever
    can write to Redis run code in a worker)."""
    record = orjson.loads(raw)
    assert isinstance(record, dict)
    return record


@dataclass(frozen=True, slots=True)
class CallbackLimits:
    """In ms: `gap_ms` after which the way of callbacks counts as closed, `first_poll_ms` when nothing was
    learned, `retention_ms` of finished jobs."""

    gap_ms: int
    first_poll_ms: int
    retention_ms: int
