"""Schemas of delivery lists and recoveries."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from gateway.lifecycle import DeliveryState
from gateway.recoveries import RecoveryState
from gateway.web.schemas.jobs import ENDPOINT_ID, Count, DeliverySummary, Timestamp
from gateway.web.schemas.shape import shape

_ULID: Final = "[0-9A-HJKMNP-TV-Z]{26}"
DELIVERY_ID: Final = f"^dlv_{_ULID}_[a-z_]{{1,32}}_(callback|{_ULID})$"
RECOVERY_ID: Final = f"^rec_{_ULID}$"
#: RFC 3339 with an offset from UTC. Precision beyond milliseconds is dropped.
TIME: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
)

_Time = Annotated[str, Field(pattern=TIME, json_schema_extra={"format": "date-time"})]


@shape
class DeliveryPage(TypedDict):
    object: Literal["list"]
    data: list[DeliverySummary]
    """Newest first, without attempt logs."""
    has_more: bool
    next: str | None
    """Path of the next page."""


class RecoveryRequest(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    since: _Time = Field(
        description="Deliveries created at this time or later. At most 14 days ago, and no longer ago than "
        "jobs are kept.",
        examples=["2026-11-22T08:00:00Z"],
    )
    until: _Time | None = Field(
        default=None,
        description="Deliveries created at this time or earlier. Default and maximum: now.",
    )
    states: list[Literal["dead", "held"]] = Field(
        default=["dead", "held"], min_length=1, max_length=2, description="Only deliveries in these states."
    )


@shape
class Recovery(TypedDict):
    """Redelivers the events that an endpoint missed. It runs in the background, after all other deliveries to
    the endpoint."""

    id: Annotated[str, Field(pattern=RECOVERY_ID)]
    object: Literal["recovery"]
    endpoint: Annotated[str, Field(pattern=ENDPOINT_ID)]
    state: RecoveryState
    """`done`: all of its deliveries are pending again; each delivery shows its own outcome. `canceled`: the
    endpoint was disabled or deleted first, see `reason`; the remaining deliveries are unchanged."""
    reason: str | None
    since: Timestamp
    until: Timestamp
    states: list[DeliveryState]
    total: Count
    """Number of deliveries to redeliver, counted when the recovery started."""
    done: Count
    """Number of deliveries that are pending again so far."""
    created_at: Timestamp
    finished_at: Timestamp | None


@shape
class RecoveryList(TypedDict):
    object: Literal["list"]
    data: list[Recovery]
    """The newest 20, newest first."""
