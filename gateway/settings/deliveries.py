"""What goes to subscribers, and where."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from gateway.backoff import DELIVERY_SCHEDULE
from gateway.settings.types import Seconds, networks, words


class DeliverySettings(BaseSettings):
    delivery_networks: Annotated[list[str], NoDecode, BeforeValidator(networks)] = Field(
        default_factory=list, description="networks (CIDR, comma-separated) that webhooks may go to"
    )
    delivery_public: bool = Field(False, description="webhooks may go to public addresses too")
    delivery_allow_http: bool = Field(
        False, description="public addresses may be sent to over http too; allowed networks always may"
    )
    delivery_ports: Annotated[
        list[Annotated[int, Field(ge=1, le=65535)]], NoDecode, BeforeValidator(words)
    ] = Field(
        default_factory=list,
        description="ports that webhooks may go to; empty: all but those of well-known services that are no "
        "web servers",
    )
    delivery_slots: int = Field(100, ge=1, description="deliveries at once")
    delivery_endpoint_slots: int = Field(8, ge=1, description="of which one endpoint may hold")
    delivery_tenant_slots: int = Field(50, ge=1, description="of which one tenant may hold")
    delivery_timeout_seconds: Seconds = Field(15, description="for one attempt, in all")
    delivery_schedule_seconds: Annotated[list[Seconds], NoDecode, BeforeValidator(words)] = Field(
        default_factory=lambda: list(DELIVERY_SCHEDULE),
        description="before the 2nd, 3rd, ... attempt; after the last one a delivery is dead",
    )
    recovery_rate: float = Field(
        50, ge=0, description="webhooks a second that a recovery sends again to one endpoint; 0: any number"
    )
    delivery_until_seconds: Seconds = Field(
        259_200,
        description="how long after its event, or after it was sent again, a delivery is tried by itself",
    )
    delivery_park_seconds: Seconds = Field(
        30,
        description="how long a subscriber is left alone when most attempts fail; up to 30 times as long "
        "when it goes on",
    )
    delivery_overload_seconds: float = Field(
        60, ge=0, description="least wait after a time-out, 429 or 503 of a subscriber"
    )
