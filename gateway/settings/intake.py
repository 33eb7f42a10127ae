"""What is accepted, and how long it is kept."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from gateway.settings.types import Seconds


class IntakeSettings(BaseSettings):
    body_max_bytes: int = Field(20_000_000, ge=1024, description="largest request body")
    body_timeout_seconds: Seconds = Field(60, description="for a whole request body to arrive")
    streams_max: int = Field(
        1000, ge=1, description="event streams of one tenant that one gateway process holds open"
    )
    tenant_queue_max: int = Field(100_000, ge=1, description="jobs of one tenant that may wait")
    tenant_rate: float = Field(
        0, ge=0, description="jobs that one tenant may post in a second; 0: any number"
    )
    tenant_burst: int = Field(100, ge=1, description="of which so many at once, after a pause")
    tenant_bytes_max: int = Field(
        268_435_456, ge=1_000_000, description="bytes that one tenant's jobs take in Redis at most"
    )
    start_deadline_seconds: Seconds = Field(
        86_400, description="from acceptance to giving up a job that was not paid for"
    )
    total_deadline_seconds: Seconds = Field(
        93_600, description="from acceptance to giving up; off_peak jobs get theirs on top"
    )
    memory_watermark: float = Field(
        0.85, gt=0, le=1, description="share of Redis' maxmemory above which no new job is accepted"
    )
    retention_seconds: Seconds = Field(
        604_800, description="how long a finished job, its events and its idempotency key are kept"
    )
    audit_days: float = Field(365, gt=0, description="how long what operators did is kept")
    prompt_max_characters: int = Field(5000, ge=1, le=5000, description="longest prompt")
    payload_max_characters: int = Field(1_048_576, ge=1, le=1_048_576, description="longest payload")
    allow_private_media_urls: bool = Field(False, description="accept media URLs on private addresses")
