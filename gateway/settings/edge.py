"""Settings of host names, proxies and https."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from gateway.doors import NAMES
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


class EdgeSettings(BaseSettings):
    doors: Annotated[list[str], NoDecode, BeforeValidator(words), AfterValidator(_doors)] = Field(
        default_factory=lambda: list(NAMES),
        description="APIs that clients may use; `jobs` is our own, `/v1/jobs`.",
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
