"""Schemas of lanes, of the service's history, and of dead letters."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gateway.store.lane_views import LaneState
from gateway.web.schemas.jobs import Count, Timestamp
from gateway.web.schemas.ops import Amount, OpsRequest
from gateway.web.schemas.shape import shape
from gateway.web.schemas.subscribers import OpsDeliverySummary

#: Maximum number of deliveries that one request redelivers.
MAX_REDELIVERIES: Final = 500


class RedeliverDead(OpsRequest):
    number: int = Field(ge=1, le=MAX_REDELIVERIES, description="Maximum number to redeliver, newest first.")


@shape
class LaneShown(TypedDict):
    """The waiting line of a tenant (submit, mirror), an account (confirm) or a subscriber (deliver)."""

    object: Literal["lane"]
    lane: str
    waiting: Count
    oldest_seconds: Amount
    in_flight: Count
    """Number of slots that it holds."""
    cap: int | None
    """Maximum number of slots, if it differs from the role's."""
    weight: Annotated[int, Field(ge=1)]
    """Its share of the slots is proportional to this."""
    state: LaneState
    """`stopped`: the service is paused; `blocked`: no account may send now; `half-open`: one attempt at a
    time until one succeeds; `full`: it holds all slots that it may; `active`: it holds slots; `waiting`: it
    holds none."""
    paused: bool
    paused_until: Timestamp | None
    """null: not paused, or paused until it is resumed."""


@shape
class LaneList(TypedDict):
    object: Literal["list"]
    data: list[LaneShown]
    """Lanes with the longest wait first."""
    has_more: bool
    next: str | None


@shape
class SampleShown(TypedDict):
    """Figures of the service at one time. Counters start at the first start of the service."""

    at: Timestamp
    waiting: Count
    oldest_seconds: Amount
    in_flight: Count
    """Number of jobs at the upstream."""
    owed: Count
    """Number of deliveries that wait or are due later."""
    accepted: Count
    completed: Count
    finished: Count
    attempts: Count
    delivered: Count
    """Number of attempts that succeeded."""
    callbacks: Count
    callback_lost: Count


@shape
class History(TypedDict):
    object: Literal["history"]
    every_seconds: Count
    data: list[SampleShown]
    """Oldest first."""


@shape
class DeadLetters(TypedDict):
    object: Literal["list"]
    data: list[OpsDeliverySummary]
    """Newest first."""
    has_more: bool
    next: str | None
    """Path of the next page."""


@shape
class Redelivery(TypedDict):
    object: Literal["redelivery"]
    sent: Count
    hindered: dict[str, int]
    """Number of dead letters that could not be redelivered, by reason."""
    has_more: bool
    """Whether there are more dead letters than `number`."""
