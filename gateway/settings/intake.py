"""Settings of which jobs are accepted, and of how long data is kept."""

from __future__ import annotations

from math import inf
from typing import Final

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from gateway.settings.types import Seconds

_DAY_SECONDS: Final = 86_400


class IntakeSettings(BaseSettings):
    body_max_bytes: int = Field(20_000_000, ge=1024, description="Largest body of a new job.")
    body_timeout_seconds: Seconds = Field(
        60, description="Longest time for the body of a new job; a small one has 10 s."
    )
    streams_max: int = Field(1000, ge=1, description="Event streams per tenant that one gateway keeps open.")
    waits_max: int = Field(
        1000,
        ge=1,
        description="Waits (`wait=N`) per tenant that one gateway keeps open.",
    )
    tenant_request_rate: float = Field(
        500,
        ge=0,
        description="Requests per second per tenant and gateway, without new jobs. 0: no limit.",
    )
    tenant_request_burst: int = Field(
        1000, ge=1, description="Requests that a tenant may send at once after a pause."
    )
    tenant_queue_max: int = Field(
        100_000, ge=1, description="Waiting jobs per tenant; more are refused with 429."
    )
    tenant_rate: float = Field(
        0,
        ge=0,
        description="Jobs per second of one tenant; as many checks, uploads, changes. 0: no limit.",
    )
    tenant_burst: int = Field(100, ge=1, description="Jobs that a tenant may post at once after a pause.")
    tenant_bytes_max: int = Field(
        268_435_456,
        ge=1_000_000,
        description="Bytes that one tenant's jobs and webhooks may take in Redis.",
    )
    tenant_media_bytes_max: int = Field(
        2_147_483_648,
        ge=1_000_000,
        description="Bytes of inline media of one tenant's unfinished jobs.",
    )
    tenant_uploads_bytes_max: int = Field(
        10_737_418_240, ge=1_000_000, description="Bytes that one tenant's uploads may take."
    )
    tenant_uploads_max: int = Field(1000, ge=1, description="Uploads that one tenant may have.")
    upload_life_seconds: Seconds = Field(
        86_400,
        description="How long an upload is kept after its last use.",
    )
    start_deadline_seconds: Seconds = Field(
        86_400, description="From acceptance until we give up a job that was not sent."
    )
    total_deadline_seconds: Seconds = Field(
        93_600, description="From acceptance until we give up a job; off_peak adds its own."
    )
    memory_watermark: float = Field(
        0.85, gt=0, le=1, description="Share of Redis' maxmemory above which no new job is accepted."
    )
    disk_watermark: float = Field(
        0.85,
        gt=0,
        lt=1,
        description="Share of the disk above which inline media is refused, unless 4 GiB are free.",
    )
    retention_seconds: Seconds = Field(
        604_800, description="How long a finished job is kept, and what belongs to it."
    )
    delivery_retention_seconds: float = Field(
        0,
        ge=0,
        allow_inf_nan=False,
        description="How long its webhooks and events are kept. 0: as long as the job.",
    )
    idempotency_retention_seconds: float = Field(
        0,
        ge=0,
        allow_inf_nan=False,
        description="How long its key works; a repeat is then paid again. 0: as the job.",
    )
    archive_after_seconds: float = Field(
        0,
        ge=0,
        allow_inf_nan=False,
        description="How long after its end most of a job moves into the media store. 0: never.",
    )
    audit_days: float = Field(365, gt=0, description="How many days audit entries are kept.")
    ledger_days: int = Field(
        400, ge=62, description="How many days the ledger is kept, and the balances of single days."
    )
    prompt_max_characters: int = Field(5000, ge=1, le=5000, description="Longest prompt.")
    payload_max_characters: int = Field(1_048_576, ge=1, le=1_048_576, description="Longest payload.")
    allow_private_media_urls: bool = Field(False, description="Accept media URLs on private addresses.")

    @field_validator("idempotency_retention_seconds")
    @classmethod
    def _outlives_retries(cls, value: float) -> float:
        if 0 < value < _DAY_SECONDS:  # a client that still repeats its request would pay twice
            raise ValueError(f"must be 0 or at least {_DAY_SECONDS}: a client's retries must be over")
        return value

    @field_validator("archive_after_seconds")
    @classmethod
    def _archives_something(cls, value: float, info: ValidationInfo) -> float:
        if value >= info.data.get("retention_seconds", inf):
            raise ValueError("must be less than GATEWAY_RETENTION_SECONDS, or 0: a job is removed after that")
        return value

    @property
    def deliveries_kept_seconds(self) -> float:
        """How long the deliveries and events of a finished job are kept."""
        return min(self.delivery_retention_seconds or self.retention_seconds, self.retention_seconds)

    @property
    def claims_kept_seconds(self) -> float:
        """How long the idempotency key of a finished job is kept."""
        return min(self.idempotency_retention_seconds or self.retention_seconds, self.retention_seconds)
