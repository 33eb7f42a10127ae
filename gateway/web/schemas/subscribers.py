"""Schemas of subscribers and deliveries in the operators' API."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gateway.web.schemas.jobs import Count, Delivery, DeliverySummary, Timestamp
from gateway.web.schemas.ops import OpsRequest, Reason
from gateway.web.schemas.shape import shape

#: Id of an endpoint, or of a host of jobs' callback URLs.
SUBSCRIBER: Final = "^(ep_[0-9A-HJKMNP-TV-Z]{26}|url-[0-9a-f]{20})$"
MAX_SECONDS: Final = 604_800


class PauseSubscriber(OpsRequest):
    subscriber: str = Field(
        pattern=SUBSCRIBER,
        description="Id of an endpoint, or an id from `GET /ops/api/subscribers/paused`.",
    )
    seconds: int | None = Field(
        default=None, ge=1, le=MAX_SECONDS, description="Duration of the pause. null: until it is resumed."
    )
    reason: Reason


class ResumeSubscribers(OpsRequest):
    """Either `subscriber` or `all`."""

    subscriber: str | None = Field(
        default=None, pattern=SUBSCRIBER, description="Id of the subscriber, from the list."
    )
    all: bool = Field(
        default=False,
        description="Resume up to 1000 subscribers, starting with those that would be retried first.",
    )


@shape
class OpsDeliverySummary(DeliverySummary):
    tenant: str


@shape
class OpsDelivery(Delivery):
    tenant: str


@shape
class Subscriber(TypedDict):
    """A paused endpoint, or a paused host of jobs' callback URLs."""

    object: Literal["subscriber"]
    id: str
    tenant: str | None
    url: str | None
    """URL of the endpoint. null: it is a host of callback URLs."""
    paused_until: Timestamp | None
    """null: until it is resumed. A time that has passed: the next attempt is due."""
    paused_by: str | None
    """Id of the operator's key. null: its circuit breaker is open."""
    reason: str | None
    waiting: Count
    """Number of deliveries that wait for it."""


@shape
class SubscriberList(TypedDict):
    object: Literal["list"]
    data: list[Subscriber]
    """Ordered by when they are retried, soonest first."""
    has_more: bool
    next: str | None
