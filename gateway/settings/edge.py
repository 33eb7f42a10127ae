"""Settings of host names, proxies and https."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from gateway.doors import NAMES
from gateway.doors.openai.request import MODELS
from gateway.settings.types import networks, words


def _hosts(found: list[str]) -> list[str]:
    for host in found:
        if "/" in host or "*" in host.removeprefix("*.") or not host.isascii():
            raise ValueError(
                f"{host} is not a host name; use names such as gateway.example.com or *.example.com"
            )
    return [host.lower() for host in found]


def _doors(found: list[str]) -> list[str]:
    unknown = [name for name in found if name not in NAMES]
    if unknown or not found:
        raise ValueError(f"{unknown[0] if unknown else 'nothing'} is not a door; use {', '.join(NAMES)}")
    return found


def _openai_models(value: Any) -> Any:
    return dict(_named_model(part) for part in words(value)) if isinstance(value, str) else value


def _named_model(part: str) -> tuple[str, str]:
    name, _, model = (one.strip() for one in part.partition("="))
    if not name or model not in MODELS:
        raise ValueError(f"{part} names no model of ours; use NAME=MODEL with {' or '.join(MODELS)}")
    return name, MODELS[model]


class EdgeSettings(BaseSettings):
    doors: Annotated[list[str], NoDecode, BeforeValidator(words), AfterValidator(_doors)] = Field(
        default_factory=lambda: list(NAMES),
        description="APIs that clients may use: `jobs` is `/v1/jobs`, the others are not ours.",
    )
    openai_models: Annotated[dict[str, str], NoDecode, BeforeValidator(_openai_models)] = Field(
        default_factory=dict,
        description="More models of the door `openai`: `sora-2=viduq2-pro,...`. Others are a 404.",
    )
    allowed_hosts: Annotated[list[str], NoDecode, BeforeValidator(words), AfterValidator(_hosts)] = Field(
        default_factory=list,
        description="Hosts that requests may address, besides the public URL's. Empty: any.",
    )
    trusted_proxies: Annotated[list[str], NoDecode, BeforeValidator(networks)] = Field(
        default_factory=list,
        description="Networks (CIDR) of proxies whose X-Forwarded-Proto and -For we trust.",
    )
    keep_alive_seconds: int = Field(
        75,
        ge=1,
        le=3600,
        description="How long an idle connection is kept: longer than a load balancer keeps it.",
    )
    hsts_seconds: int = Field(
        0, ge=0, description="max-age of Strict-Transport-Security on https answers. 0: no header."
    )
