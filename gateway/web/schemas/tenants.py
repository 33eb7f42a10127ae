"""The shapes of tenants and keys, as operators set and see them."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, Field

from gateway.lifecycle import OnUnknown
from gateway.tenants import Scope
from gateway.web.schemas.jobs import Answer, Timestamp
from gateway.web.schemas.ops import TENANT, OpsRequest

MAX_WEIGHT: Final = 100
MAX_WHOLE: Final = 10_000_000
MAX_OVERLAP_SECONDS: Final = 604_800
MAX_HOURS: Final = 87_600
KEY_ID: Final = "^[0-9a-f]{12}$"


def _networks(found: list[str]) -> list[str]:
    for text in found:
        ip_network(text)
    return found


Whole = Annotated[int, Field(ge=1, le=MAX_WHOLE)]


class TenantRequest(OpsRequest):
    on_unknown: OnUnknown | None = Field(
        description="What becomes of a job whose outcome stays unknown, unless the job says so itself; "
        "null: what the service does."
    )


class TenantChange(OpsRequest):
    """What is left out stays as it is; null: as the service does."""

    title: str | None = Field(default=None, min_length=1, max_length=128, description="For people.")
    on_unknown: OnUnknown | None = Field(
        default=None, description="What becomes of its jobs whose outcome stays unknown."
    )
    weight: int | None = Field(
        default=None,
        ge=1,
        le=MAX_WEIGHT,
        description="While others wait, its share of the upstream is in proportion to it.",
    )
    in_flight: Whole | None = Field(default=None, description="Tasks of it at the upstream at once.")
    queue_max: Whole | None = Field(default=None, description="Jobs of it that may wait.")
    rate: float | None = Field(
        default=None, ge=0, le=MAX_WHOLE, description="Jobs that it may post in a second; 0: any number."
    )
    burst: Whole | None = Field(default=None, description="Of which so many at once, after a pause.")
    networks: Annotated[list[str], Field(min_length=1, max_length=50), AfterValidator(_networks)] | None = (
        Field(
            default=None,
            description="Networks (CIDR) that its webhooks may go to beside those of the service.",
        )
    )


class NewTenantRequest(TenantChange):
    tenant: str = Field(pattern=TENANT, description="Its name, for ever.")


class KeyRequest(OpsRequest):
    name: str = Field(default="", max_length=128, description="What the key is for, for people.")
    scopes: list[Scope] | None = Field(
        default=None,
        max_length=len(Scope),
        description="What it may do; without: jobs and endpoints. Give no operator's scope that you lack.",
    )
    expires_in_hours: int | None = Field(
        default=None, ge=1, le=MAX_HOURS, description="After which it opens nothing any more."
    )


class KeyRotation(OpsRequest):
    overlap_seconds: int = Field(
        default=86_400, ge=0, le=MAX_OVERLAP_SECONDS, description="For which the old key goes on."
    )


class TenantPaused(Answer):
    at: Timestamp
    by: str | None
    """The id of an operator's key."""
    reason: str | None


class TenantDefaults(Answer):
    """What the service does where nothing was set."""

    weight: int
    in_flight: int
    queue_max: int
    rate: float
    burst: int


class TenantSettings(Answer):
    """What was set for a tenant; null: as the service does."""

    object: Literal["tenant"]
    tenant: str
    title: str | None
    created_at: Timestamp | None
    on_unknown: OnUnknown | None
    on_unknown_default: OnUnknown
    """What the service does."""
    weight: int | None
    in_flight: int | None
    queue_max: int | None
    rate: float | None
    burst: int | None
    networks: list[str] | None
    """That its webhooks may go to beside those of the service."""
    defaults: TenantDefaults
    paused: TenantPaused | None
    """While nothing of it is sent to the upstream."""


class TenantList(Answer):
    object: Literal["list"]
    data: list[TenantSettings]
    """In the order of their names."""
    has_more: bool
    next: str | None
    """Path of the next page."""


class ClientKey(Answer):
    object: Literal["key"]
    id: str = Field(pattern=KEY_ID)
    tenant: str
    name: str
    scopes: list[Scope]
    created_at: Timestamp
    expires_at: Timestamp | None
    last_used_at: Timestamp | None
    """To about a minute."""
    revoked_at: Timestamp | None
    replaces: str | None
    """The key that it was made for in a rotation."""


class NewClientKey(ClientKey):
    key: str
    """The key itself, shown this once."""
    signing_secret: str
    """Verifies the webhooks to a job's `callback_url`."""


class KeyList(Answer):
    object: Literal["list"]
    data: list[ClientKey]
    """The oldest first."""
    has_more: bool
    next: str | None


REQUESTS: Final[tuple[type[BaseModel], ...]] = (
    *(TenantRequest, TenantChange, NewTenantRequest, KeyRequest, KeyRotation),
)
ANSWERS: Final[tuple[type[BaseModel], ...]] = (TenantSettings, TenantList, KeyList, ClientKey, NewClientKey)
