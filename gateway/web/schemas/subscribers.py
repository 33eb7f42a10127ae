"""The schemas of subscribers and deliveries as operators see, pause and resume them."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gateway.web.schemas.jobs import Count, Delivery, DeliverySummary, Timestamp
from gateway.web.schemas.ops import OpsRequest
from gateway.web.schemas.shape import shape

#: An endpoint, or a host of jobs' own callback URLs.
SUBSCRIBER: Final = "^(ep_[0-9A-HJKMNP-TV-Z]{26}|url-[0-9a-f]{20})$"
MAX_SECONDS: Final = 604_800


class PauseSubscriber(OpsRequest):
    subscriber: str = Field(
        pattern=SUBSCRIBER,
        description="Id of an endpoint, or an id as `GET /ops/api/subscribers/paused` lists it.",
    )
    seconds: int | None = Field(
        default=None, ge=1, le=MAX_SECONDS, description="How long; null: until it is resumed."
    )
    reason: str = Field(min_length=1, max_length=256, description="The reason, for other operators.")


class ResumeSubscribers(OpsRequest):
    """One subscriber, or all."""

    subscriber: str | None = Field(
        default=None, pattern=SUBSCRIBER, description="Id of the subscriber, as the list has it."
    )
    all: bool = Field(
        default=False, description="Resume up to 1000, those first that would resume soonest anyway."
    )


@shape
class OpsDeliverySummary(DeliverySummary):
    tenant: str


@shape
class OpsDelivery(Delivery):
    tenant: str


@shape
class Subscriber(TypedDict):
    """An endpoint, or a host of jobs' own callback URLs, to which nothing is sent for a while."""

    object: Literal["subscriber"]
    id: str
    tenant: str | None
    url: str | None
    """The endpoint's URL, if it is an endpoint."""
    paused_until: Timestamp | None
    """null: until it is resumed."""
    waiting: Count
    """Deliveries that wait for it."""


@shape
class SubscriberList(TypedDict):
    object: Literal["list"]
    data: list[Subscriber]
    """Those first that are retried first."""
    has_more: bool
    next: str | None
