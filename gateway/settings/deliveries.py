"""Settings of webhooks: allowed destinations, concurrency and retries."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from gateway.backoff import DELIVERY_SCHEDULE
from gateway.settings.types import Seconds, networks, words


class DeliverySettings(BaseSettings):
    delivery_networks: Annotated[list[str], NoDecode, BeforeValidator(networks)] = Field(
        default_factory=list, description="Networks (CIDR) that webhooks may go to."
    )
    delivery_public: bool = Field(False, description="Webhooks may go to public addresses too.")
    delivery_allow_http: bool = Field(
        False, description="Allow http to public addresses; allowed networks always may use it."
    )
    delivery_ports: Annotated[
        list[Annotated[int, Field(ge=1, le=65535)]], NoDecode, BeforeValidator(words)
    ] = Field(
        default_factory=list,
        description="Ports that webhooks may go to. Empty: all but well-known non-web ones.",
    )
    delivery_slots: int = Field(100, ge=1, description="Attempts in flight at once.")
    delivery_endpoint_slots: int = Field(8, ge=1, description="Attempts in flight at once to one endpoint.")
    delivery_tenant_slots: int = Field(50, ge=1, description="Attempts in flight at once for one tenant.")
    delivery_timeout_seconds: Seconds = Field(15, description="Timeout of one attempt, as a whole.")
    delivery_schedule_seconds: Annotated[list[Seconds], NoDecode, BeforeValidator(words)] = Field(
        default_factory=lambda: list(DELIVERY_SCHEDULE),
        description="Waits before retries.",
    )
    recovery_rate: float = Field(
        50, ge=0, description="Webhooks per second that a recovery sends to an endpoint. 0: no limit."
    )
    delivery_until_seconds: Seconds = Field(
        259_200,
        description="No automatic retry later than this after the event or redelivery.",
    )
    delivery_park_seconds: Seconds = Field(
        30,
        description="First pause when a circuit breaker opens; grows up to 30 times.",
    )
    delivery_overload_seconds: float = Field(
        60, ge=0, description="Shortest wait after a timeout, 429 or 503 of a subscriber."
    )
