"""The shapes of subscribers as operators see and park them."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, Field

from gateway.web.schemas.jobs import Answer, Delivery, DeliverySummary, Timestamp
from gateway.web.schemas.ops import Count, OpsRequest

#: An endpoint, or a host of jobs' own callback URLs.
SUBSCRIBER: Final = "^(ep_[0-9A-HJKMNP-TV-Z]{26}|url-[0-9a-f]{20})$"
MAX_SECONDS: Final = 604_800


class ParkSubscriber(OpsRequest):
    subscriber: str = Field(pattern=SUBSCRIBER, description="Id of an endpoint, or as the list has it.")
    seconds: int | None = Field(
        default=None, ge=1, le=MAX_SECONDS, description="For how long; null: until it is resumed."
    )
    reason: str = Field(min_length=1, max_length=256, description="Why, for the other operators.")


class ResumeSubscribers(OpsRequest):
    """One, or all."""

    subscriber: str | None = Field(default=None, pattern=SUBSCRIBER, description="As the list has it.")
    all: bool = Field(default=False, description="Up to a thousand, those first that wait the shortest.")


class OpsDeliverySummary(DeliverySummary):
    tenant: str


class OpsDelivery(Delivery):
    tenant: str


class Subscriber(Answer):
    """An endpoint, or a host of jobs' own callback URLs, to which nothing is sent for a while."""

    object: Literal["subscriber"]
    id: str
    tenant: str | None
    url: str | None
    """Of an endpoint."""
    parked_until: Timestamp | None
    """null: until it is resumed."""
    waiting: Count
    """Deliveries that wait there."""


class SubscriberList(Answer):
    object: Literal["list"]
    data: list[Subscriber]
    has_more: bool
    next: str | None


REQUESTS: Final[tuple[type[BaseModel], ...]] = (ParkSubscriber, ResumeSubscribers)
ANSWERS: Final[tuple[type[BaseModel], ...]] = (SubscriberList, OpsDelivery)
