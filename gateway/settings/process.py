"""Settings of addresses, folders, secrets, workers and telemetry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings

from gateway.local.forked import MAX_PROCESSES
from gateway.media.location import Bucket, location_of
from gateway.settings.redis_url import read_redis_url
from gateway.settings.types import BaseUrl, Demand, DurabilityMode, MediaUrl, RedisUrl, Seconds

_BLOBS = Path("blobs")


def _port(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(("tcp://", "udp://")):
        raise ValueError(
            "is an address that the cluster set because a service of it is named gateway; set "
            "enableServiceLinks to false, or give that service another name"
        )
    return value


class ProcessSettings(BaseSettings):
    redis_url: RedisUrl = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="URL of the store: one server, sentinels, or a cluster.",
    )
    redis_timeout_seconds: Seconds = Field(
        0.8, description="Timeout of one Redis call; then the gateway answers 503, workers retry."
    )
    host: str = Field("127.0.0.1", description="Address that the gateway listens on.")
    port: Annotated[int, BeforeValidator(_port)] = Field(
        8080, ge=1, le=65535, description="Port that the gateway listens on."
    )
    processes: int = Field(
        1,
        ge=1,
        le=MAX_PROCESSES,
        description="Processes of each `python -m gateway` and `python -m workers`: about one per core.",
    )
    drain_seconds: float = Field(
        5,
        ge=0,
        le=600,
        description="From SIGTERM, when /readyz turns 503, until no new connections are taken.",
    )
    public_url: BaseUrl = Field(
        "", description="Base URL for the upstream's callbacks. Empty: no callbacks, polling only."
    )
    client_url: BaseUrl = Field(
        "", description="Base URL by which clients reach the gateway, for links in answers and webhooks."
    )
    media_url: MediaUrl = Field(
        "",
        description="Place of all files: `file:///folder` or `s3://bucket/prefix`. Empty: GATEWAY_BLOB_DIR.",
    )
    blob_dir: Path = Field(_BLOBS, description="Folder of all files: the older name of GATEWAY_MEDIA_URL.")
    secret_keys: SecretStr = Field(
        description="Keyring `kid:base64,...`, active first: callback tokens, webhook secrets."
    )
    durability: DurabilityMode = Field(
        "require",
        description="How writes survive: `require`, `replicated`, `managed`, or `assume` (see below).",
    )
    replicas_ack: int = Field(
        1, ge=1, le=5, description="With `replicated`: replicas that must acknowledge each write."
    )
    failover_hold_seconds: float = Field(
        60,
        ge=0,
        le=3600,
        description="After a failover of the store, nothing is submitted for this long.",
    )

    lease_seconds: Seconds = Field(
        15, description="How long work may be silent before it passes to another worker."
    )
    confirm_slots: int = Field(20, ge=1, description="Polls of the upstream in flight at once.")

    crash_points: str = Field(
        "",
        description="Fault tests only: `name:n:kill`, `name:n:freeze=seconds`, `name:n:lose_reply`.",
    )

    otel: bool = Field(
        False, description="Export traces as the OTEL_* variables say; needs the extra `otel`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="`json`: one object per line. `console`: easier to read in a terminal."
    )

    def durability_demand(self) -> Demand:
        """What the store must do before a write counts."""
        acks = self.replicas_ack if self.durability == "replicated" else 0
        return Demand(self.durability, acks, bool(read_redis_url(self.redis_url).mode))

    def media_location(self) -> Path | Bucket:
        """Where the media store is. ValueError if two settings name different places."""
        if not self.media_url:
            return self.blob_dir
        location = location_of(self.media_url)
        if self.blob_dir not in (_BLOBS, location):
            raise ValueError("GATEWAY_BLOB_DIR names another place; remove GATEWAY_BLOB_DIR")
        return location
