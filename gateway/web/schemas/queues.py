"""The shapes of waiting lines, of the service's history, and of what was given up."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, Field

from gateway.web.schemas.jobs import Answer, Timestamp
from gateway.web.schemas.ops import Count, OpsRequest
from gateway.web.schemas.subscribers import OpsDeliverySummary

#: Deliveries that one request sends again.
MOST_AT_ONCE: Final = 500


class RedeliverDead(OpsRequest):
    number: int = Field(ge=1, le=MOST_AT_ONCE, description="So many of the newest at most.")


class LaneShown(Answer):
    """The waiting line of a tenant (submit), an account (confirm) or a subscriber (deliver)."""

    object: Literal["lane"]
    lane: str
    waiting: Count
    oldest_seconds: float = Field(ge=0)
    in_flight: Count
    """Slots that it holds."""
    cap: int | None
    """At most so many, where that is not the role's own number."""
    weight: int = Field(ge=1)
    """Its share is in proportion to it."""
    parked: bool
    parked_until: Timestamp | None
    """null: until it is resumed, if it is parked."""


class LaneList(Answer):
    object: Literal["list"]
    data: list[LaneShown]
    """Those in which somebody waits the longest first."""
    has_more: bool
    next: str | None


class SampleShown(Answer):
    """How it stood at a time. What was counted counts from the beginning of the service."""

    at: Timestamp
    waiting: Count
    oldest_seconds: float = Field(ge=0)
    in_flight: Count
    """Jobs at the upstream."""
    owed: Count
    """Deliveries that wait or are due later."""
    accepted: Count
    completed: Count
    finished: Count
    attempts: Count
    delivered: Count
    """Attempts that succeeded."""
    callbacks: Count
    callback_lost: Count


class History(Answer):
    object: Literal["history"]
    every_seconds: Count
    data: list[SampleShown]
    """Oldest first."""


class DeadLetters(Answer):
    object: Literal["list"]
    data: list[OpsDeliverySummary]
    """The newest first."""
    has_more: bool
    next: str | None


class Redelivery(Answer):
    object: Literal["redelivery"]
    sent: Count
    hindered: dict[str, int]
    """How many were not, by why."""
    has_more: bool
    """More was given up than was looked at."""


REQUESTS: Final[tuple[type[BaseModel], ...]] = (RedeliverDead,)
ANSWERS: Final[tuple[type[BaseModel], ...]] = (LaneList, History, DeadLetters, Redelivery)
