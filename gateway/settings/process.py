"""Where things are, workers and telemetry."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from gateway.settings.types import BaseUrl, RedisUrl, Seconds


class ProcessSettings(BaseSettings):
    redis_url: RedisUrl = Field(
        "redis://127.0.0.1:6379/0", repr=False, description="Redis or Valkey: redis://, rediss:// or unix://"
    )
    redis_timeout_seconds: Seconds = Field(
        0.8, description="for one answer of Redis; the gateway says 503 then, workers ask again"
    )
    host: str = Field("127.0.0.1", description="address that the gateway listens on")
    port: int = Field(8080, ge=1, le=65535, description="port that the gateway listens on")
    drain_seconds: float = Field(
        5,
        ge=0,
        le=600,
        description="from SIGTERM, when the gateway is not ready any more, to taking no more connections",
    )
    public_url: BaseUrl = Field(
        "", description="base of the callback_url that the upstream gets; empty: no callbacks, polling alone"
    )
    blob_dir: Path = Field(Path("blobs"), description="folder of inline media, shared by gateway and workers")
    secret_keys: SecretStr = Field(
        description="keyring `kid:base64,...`, first one active: callback tokens and webhook secrets"
    )
    durability: Literal["require", "assume"] = Field(
        "require", description="assume: start although Redis does not look durable"
    )

    lease_seconds: Seconds = Field(15, description="a worker that is silent for longer has lost its work")
    confirm_slots: int = Field(20, ge=1, description="GETs to the upstream at once")

    crash_points: str = Field(
        "",
        description="fault tests only: `name:n:kill`, `name:n:freeze=seconds` or `name:n:lose_reply`",
    )

    otel: bool = Field(
        False, description="export traces, as the OTEL_* variables say; needs the extra `otel`"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level logged")
    log_format: Literal["json", "console"] = Field(
        "json", description="one JSON object a line, or for people"
    )
