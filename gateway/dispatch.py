"""Lanes -> slots -> arq: what the three roles of the workers have in common.

A role has lanes (submit: a tenant; confirm: an upstream account; deliver: an endpoint), a number of
slots over all lanes and for each lane, and a lease. What may run now is moved from the lanes to arq by
one script, fairly between lanes, and that script writes the arq job too: there is no second write that
could be lost. arq is the doorbell and the runner; it never holds what may not run yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic_core import from_json, to_json

#: Every key of the service, arq's own included, carries this hash tag, so that all share one slot.
PREFIX: Final = "{gw}:"

#: The most jobs that one run of the dispatch script hands out: it blocks Redis while it runs.
BATCH: Final = 20

#: The lane of the confirm role: one upstream account, so far.
ACCOUNT: Final = "main"


class Role(StrEnum):
    SUBMIT = "submit"
    CONFIRM = "confirm"
    DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class RoleLimits:
    """`slots`: at once over all lanes; `lane_slots`: at once in one lane; `lease_ms`: how long a
    dispatched piece of work may go unheard of before it is dispatched again; `per_second`: how many may be
    handed out in a second (0: as many as there are); `probe_ms`: between probes while the role's account is
    parked."""

    slots: int
    lane_slots: int
    lease_ms: int
    per_second: float = 0
    probe_ms: int = 30_000


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place in a lane: which one, and for what. `ring` numbers the dispatches: only the holder of
    the newest may act on it."""

    role: Role
    lane: str
    name: str
    ring: int = 0

    def __str__(self) -> str:
        return f"{self.lane}|{self.name}"

    @classmethod
    def parse(cls, role: Role, text: str, ring: int = 0) -> Ticket:
        lane, _, name = text.partition("|")
        return cls(role, lane, name, ring)


def queue_name(role: Role) -> str:
    """arq's queue of a role."""
    return f"{PREFIX}{role}:arq"


def serialize(record: dict[str, object]) -> bytes:
    """arq's record as JSON, the form in which the dispatch script writes it (arq's own is pickle,
    which would let whoever can write to Redis run code in a worker)."""
    return to_json(record, serialize_unknown=True)


def deserialize(raw: bytes) -> dict[str, object]:
    record = from_json(raw)
    assert isinstance(record, dict)
    return record
