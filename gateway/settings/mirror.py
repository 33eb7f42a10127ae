"""Settings of the copies that we keep of results."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from gateway.assets import RESULT_LIFE_MS
from gateway.settings.types import Seconds


class MirrorSettings(BaseSettings):
    mirror: bool = Field(
        False, description="Copy each result into the media store before the upstream's address dies."
    )
    result_life_seconds: Seconds = Field(
        RESULT_LIFE_MS // 1000,
        description="How long the upstream's addresses are taken to live, and copied from.",
    )
    mirror_slots: int = Field(8, ge=1, description="Copies in progress at once.")
    mirror_tenant_slots: int = Field(4, ge=1, description="Copies of one tenant in progress at once.")
    mirror_max_bytes: int = Field(1_073_741_824, ge=1, description="Largest file that is copied.")
    mirror_timeout_seconds: Seconds = Field(600, description="Timeout of one attempt to copy, as a whole.")
    mirror_stall_seconds: Seconds = Field(
        30, description="How long an address may send nothing until the attempt fails."
    )
    result_retention_seconds: Seconds = Field(
        604_800, description="How long a copy is kept; it never outlives its job."
    )
    tenant_results_bytes_max: int = Field(
        53_687_091_200, ge=1, description="Bytes of copies of one tenant; beyond, no more are made."
    )
