"""A recovery: what an endpoint was not told between two times is sent again, in the background."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.lifecycle import DeliveryState

#: The states of deliveries that can be recovered; by default, all of them are.
RECOVERABLE: Final = (DeliveryState.DEAD, DeliveryState.HELD)
#: So far back a recovery can reach, or as far as finished jobs are kept, which may be less.
MAX_AGE_MS: Final = 14 * 86_400_000


class RecoveryState(StrEnum):
    RUNNING = "running"
    DONE = "done"  #: all that it found is pending again; what became of each, its delivery tells
    CANCELED = "canceled"  #: its endpoint was disabled or deleted before


@dataclass(frozen=True, slots=True)
class Recovery:
    """Of the deliveries of one endpoint that were made from `since` to `until` (both included) and are in one
    of `states`. Times: ms. `total`: how many they were when it began; `done`: how many are pending again."""

    id: str
    tenant: str
    endpoint_id: str
    since: int
    until: int
    created_at: int
    states: tuple[DeliveryState, ...] = RECOVERABLE
    state: RecoveryState = RecoveryState.RUNNING
    total: int = 0
    done: int = 0
    finished_at: int | None = None
    reason: str | None = None
