"""Lanes -> slots -> arq: what the roles of the workers have in common.

A role has lanes (submit and mirror: one per tenant; confirm: per upstream account; deliver: per endpoint), a
lease, and a number of slots: in total, per lane, and for deliver also per tenant. One script moves the work
that may run now from the lanes to arq, fairly between lanes. The same script writes the arq job, so no second
write can be lost. arq only wakes the workers and runs the work; it never holds work that may not run yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson

#: The prefix of every key, also of arq's. It is a hash tag, so that all keys are in one slot of a cluster.
PREFIX: Final = "{gw}:"

#: The most tickets that one run of the dispatch script dispatches: it blocks Redis while it runs.
BATCH: Final = 20

#: The upstream's account that always exists.
ACCOUNT: Final = "main"


class Role(StrEnum):
    SUBMIT = "submit"
    CONFIRM = "confirm"
    DELIVER = "deliver"
    MIRROR = "mirror"


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """When a subscriber's lane is paused, and when its endpoint is disabled. Times in ms.

    The lane is paused when, in the last `window_ms` (counted in buckets of `bucket_ms`), there were at least
    `least` attempts and at least `percent` percent of them failed. The pause lasts `pause_ms`; then one
    attempt is made. Each time that it fails the pause doubles, up to `max_pause_ms`. An endpoint without a
    success for `disable_ms` is disabled at the next failure, if two failures in that time were at least
    `apart_ms` apart.
    """

    window_ms: int = 300_000
    bucket_ms: int = 30_000
    least: int = 10
    percent: int = 70
    pause_ms: int = 30_000
    max_pause_ms: int = 900_000
    disable_ms: int = 432_000_000
    apart_ms: int = 43_200_000


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """Limits of one upstream account. `slots`: tasks at once. `per_second`: submissions per second (0: no
    limit). `weight`: its share of the jobs that are not bound to an account (1 to 100)."""

    name: str
    slots: int
    weight: int = 1
    per_second: float = 0


@dataclass(frozen=True, slots=True)
class FailoverLimits:
    """`hold_ms`: how long nothing is submitted after a failover of the store. `acknowledged`: replicas must
    acknowledge what is written, so a failover loses nothing."""

    hold_ms: int = 60_000
    acknowledged: bool = False

    def document(self) -> dict[str, object]:
        """The `failover` of scripts/lib/primary.lua."""
        return {"hold_ms": self.hold_ms, "acknowledged": self.acknowledged}


@dataclass(frozen=True, slots=True)
class RoleLimits:
    """Limits of a role.

    `slots`: in total; `lane_slots`: per lane, unless the lane has its own cap. `lease_ms`: how long
    dispatched work may stay silent before it is dispatched again. `per_second`: dispatches per second (0: no
    limit). `probe_ms`: between probes while the account is paused. `retry_share`: the share of all slots, and
    of a lane's slots, that retries may hold; new work may hold all. At 1, retries go first instead.
    Deliver role: `tenant_slots`, per tenant over its lanes (0: no limit), and `health` of its lanes.
    Submit role: `accounts`, whose slots add up to the role's; if empty, `main` has them all; and `failover`.
    """

    slots: int
    lane_slots: int
    lease_ms: int
    per_second: float = 0
    probe_ms: int = 30_000
    retry_share: float = 1.0
    tenant_slots: int = 0
    health: HealthLimits = HealthLimits()
    accounts: tuple[AccountLimits, ...] = ()
    failover: FailoverLimits = FailoverLimits()

    @property
    def all_accounts(self) -> tuple[AccountLimits, ...]:
        return self.accounts or (AccountLimits(ACCOUNT, self.slots),)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A piece of work that waits in a lane. `dispatch_number`: of its newest dispatch; only the holder of
    that one may act on it. `begun`: what the store answered when the work was begun as it was claimed."""

    role: Role
    lane: str
    name: str
    dispatch_number: int = 0
    begun: Any = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.lane}|{self.name}"

    @property
    def arq_name(self) -> str:
        """The name of its arq job, as the dispatch script makes it."""
        return f"{PREFIX}{self.role}:{self}:{self.dispatch_number}"

    @classmethod
    def parse(cls, role: Role, text: str, dispatch_number: int = 0, begun: Any = None) -> Ticket:
        lane, _, name = text.partition("|")
        return cls(role, lane, name, dispatch_number, begun)


def queue_name(role: Role) -> str:
    """arq's queue of a role."""
    return f"{PREFIX}{role}:arq"


def deserialize(raw: bytes | str) -> dict[str, Any]:
    """Reads arq's job record. The dispatch script writes it as JSON, because with arq's default, pickle,
    anyone who can write to Redis could run code in a worker."""
    record = orjson.loads(raw)
    assert isinstance(record, dict)
    return record


@dataclass(frozen=True, slots=True)
class CallbackLimits:
    """In ms. `gap_ms`: without proof for this long, callbacks count as unable to reach us. `first_poll_ms`:
    until the first poll while no duration is known. `retention_ms`: of finished jobs."""

    gap_ms: int
    first_poll_ms: int
    retention_ms: int
