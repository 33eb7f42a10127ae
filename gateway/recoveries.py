"""A recovery: sends the events again, in the background, that an endpoint did not get in a time range."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.lifecycle import DeliveryState

#: The states of deliveries that can be recovered; by default, all of them are.
RECOVERABLE: Final = (DeliveryState.DEAD, DeliveryState.HELD)
#: The oldest start of a recovery. Finished jobs may be kept for a shorter time, which is then the limit.
MAX_AGE_MS: Final = 14 * 86_400_000


class RecoveryState(StrEnum):
    RUNNING = "running"
    DONE = "done"  #: all deliveries that it found are pending again; their own state shows the result
    CANCELED = "canceled"  #: its endpoint was disabled or deleted before it was done


@dataclass(frozen=True, slots=True)
class Recovery:
    """Redelivers the deliveries of one endpoint that were created from `since` to `until` (both inclusive)
    and are in one of `states`.

    Times: ms. `total`: the number of these deliveries at the start; `done`: how many are pending again.
    """

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
