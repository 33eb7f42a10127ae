"""The shapes of deliveries in lists, and of recoveries, for the routes and for the API's document."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.lifecycle import DeliveryState
from gateway.recoveries import RecoveryState
from gateway.web.schemas.jobs import ENDPOINT_ID, Answer, DeliverySummary, Timestamp

_ULID: Final = "[0-9A-HJKMNP-TV-Z]{26}"
DELIVERY_ID: Final = f"^dlv_{_ULID}_[a-z_]{{1,32}}_(callback|{_ULID})$"
RECOVERY_ID: Final = f"^rec_{_ULID}$"
#: RFC 3339, with its offset from UTC; a fraction of a millisecond is cut off.
TIME: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
)

_Time = Annotated[str, Field(pattern=TIME, json_schema_extra={"format": "date-time"})]


class DeliveryPage(Answer):
    object: Literal["list"]
    data: list[DeliverySummary]
    """Newest first, without the logs of their attempts."""
    has_more: bool
    next: str | None
    """Path of the next page."""


class RecoveryRequest(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    since: _Time = Field(
        description="Deliveries that were made then or later: at most 14 days ago, or as long ago as jobs "
        "are kept.",
        examples=["2026-11-22T08:00:00Z"],
    )
    until: _Time | None = Field(
        default=None, description="Deliveries that were made then or earlier; without it, and at most: now."
    )
    states: list[Literal["dead", "held"]] = Field(
        default=["dead", "held"], min_length=1, max_length=2, description="Which of them."
    )


class Recovery(Answer):
    """What an endpoint was not told is sent again, in the background, after all else that it is owed."""

    id: str = Field(pattern=RECOVERY_ID)
    object: Literal["recovery"]
    endpoint: str = Field(pattern=ENDPOINT_ID)
    state: RecoveryState
    """`done`: all of it is pending again; the deliveries themselves tell what came of it. `canceled`: the
    endpoint was disabled or deleted before, as `reason` says; what was not seen to stays as it was."""
    reason: str | None
    since: Timestamp
    until: Timestamp
    states: list[DeliveryState]
    total: int = Field(ge=0)
    """Deliveries there were to send again when it began."""
    done: int = Field(ge=0)
    """Deliveries that are pending again since."""
    created_at: Timestamp
    finished_at: Timestamp | None


class RecoveryList(Answer):
    object: Literal["list"]
    data: list[Recovery]
    """The newest 20, newest first."""


REQUESTS: Final[tuple[type[BaseModel], ...]] = (RecoveryRequest,)
ANSWERS: Final[tuple[type[BaseModel], ...]] = (DeliveryPage, Recovery, RecoveryList)
