"""Schemas of tenants and keys in the operators' API."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from gateway.generation.texts import NotBlank
from gateway.lifecycle import OnUnknown
from gateway.tenants import Scope
from gateway.web.schemas.budgets import Budgets, BudgetsRequest
from gateway.web.schemas.jobs import Timestamp
from gateway.web.schemas.ops import TENANT, OpsRequest
from gateway.web.schemas.shape import shape

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


class TenantChange(OpsRequest):
    """An omitted field stays unchanged; null resets a field to the service's default."""

    title: Annotated[str, Field(min_length=1, max_length=128), NotBlank] | None = Field(
        default=None, description="Display name. Not blank."
    )
    on_unknown: OnUnknown | None = Field(
        default=None, description="What happens to its jobs whose outcome stays unknown."
    )
    weight: int | None = Field(
        default=None,
        ge=1,
        le=MAX_WEIGHT,
        description="Its share of the upstream is proportional to this while other tenants wait.",
    )
    in_flight: Whole | None = Field(default=None, description="Maximum number of its tasks at the upstream.")
    queue_max: Whole | None = Field(default=None, description="Maximum number of its waiting jobs.")
    rate: float | None = Field(
        default=None,
        ge=0,
        le=MAX_WHOLE,
        description="Maximum number of jobs it may create per second; 0: unlimited.",
    )
    burst: Whole | None = Field(
        default=None, description="Maximum number of jobs created at once after a quiet time."
    )
    networks: Annotated[list[str], Field(min_length=1, max_length=50), AfterValidator(_networks)] | None = (
        Field(
            default=None,
            description="Networks (CIDR) that its webhooks may go to, in addition to those of the service.",
        )
    )
    budgets: BudgetsRequest | None = Field(
        default=None, description="How much money it may spend; null removes all its budgets."
    )


class NewTenantRequest(TenantChange):
    tenant: str = Field(pattern=TENANT, description="Name of the tenant. It cannot be changed later.")


class KeyRequest(OpsRequest):
    name: str = Field(default="", max_length=128, description="Purpose of the key.")
    scopes: list[Scope] | None = Field(
        default=None,
        max_length=len(Scope),
        description="What the key may do. Default: jobs and endpoints. Only a key that has an operator's "
        "scope can grant it.",
    )
    expires_in_hours: int | None = Field(
        default=None, ge=1, le=MAX_HOURS, description="Hours until it expires; null: never."
    )


class KeyRotation(OpsRequest):
    overlap_seconds: int = Field(
        default=86_400,
        ge=0,
        le=MAX_OVERLAP_SECONDS,
        description="Seconds for which the old key stays valid.",
    )


class KeyChange(OpsRequest):
    budgets: BudgetsRequest | None = Field(
        description="How much money may be spent with this key; null removes all its budgets. The budgets of "
        "its tenant count as well."
    )


@shape
class TenantPaused(TypedDict):
    at: Timestamp
    by: str | None
    """Id of the operator's key."""
    reason: str | None


@shape
class TenantDefaults(TypedDict):
    """The service's defaults."""

    weight: int
    in_flight: int
    queue_max: int
    rate: float
    burst: int


@shape
class TenantStored(TypedDict):
    """What is stored because of a tenant."""

    bytes: int
    """In Redis: its jobs, events, deliveries, logs and endpoints."""
    bytes_max: int
    media_bytes: int
    """On disk: inline media of its unfinished jobs."""
    media_bytes_max: int
    upload_bytes: int
    """In the media store: its uploads."""
    upload_count: int
    result_bytes: int
    """In the media store: copies of its results."""


@shape
class TenantSettings(TypedDict):
    """Settings of a tenant; null: the service's default."""

    object: Literal["tenant"]
    tenant: str
    title: str | None
    created_at: Timestamp | None
    on_unknown: OnUnknown | None
    on_unknown_default: OnUnknown
    """The service's default."""
    weight: int | None
    in_flight: int | None
    queue_max: int | None
    rate: float | None
    burst: int | None
    networks: list[str] | None
    """Networks that its webhooks may go to, in addition to those of the service."""
    budgets: Budgets
    defaults: TenantDefaults
    stored: TenantStored
    paused: TenantPaused | None
    """Set while the tenant is paused: none of its jobs is sent to the upstream."""


@shape
class TenantList(TypedDict):
    object: Literal["list"]
    data: list[TenantSettings]
    """Ordered by name."""
    has_more: bool
    next: str | None
    """Path of the next page."""


@shape
class ClientKey(TypedDict):
    object: Literal["key"]
    id: Annotated[str, Field(pattern=KEY_ID)]
    tenant: str
    name: str
    scopes: list[Scope]
    created_at: Timestamp
    expires_at: Timestamp | None
    last_used_at: Timestamp | None
    """Accurate to about one minute."""
    revoked_at: Timestamp | None
    replaces: str | None
    """Id of the key that it replaced in a rotation."""
    budgets: Budgets
    """Of this key alone; those of its tenant count as well."""


@shape
class NewClientKey(ClientKey):
    key: str
    """The key itself, shown only once."""
    signing_secret: str
    """Secret to verify webhooks to a job's `callback_url` with."""


@shape
class KeyList(TypedDict):
    object: Literal["list"]
    data: list[ClientKey]
    """Oldest first."""
    has_more: bool
    next: str | None
