"""Settings of host names, proxies, single sign-on and https."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator
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


def _header(found: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+", found):
        raise ValueError(f"{found!r} is not the name of a header; use one such as X-Forwarded-User")
    return found.lower()


def _page(found: str) -> str:
    if found and not found.startswith(("/", "https://", "http://")):
        raise ValueError("must start with /, https:// or http://")
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
        description="APIs that clients may use; `jobs` is our own, `/v1/jobs`.",
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
    sso_proxies: Annotated[list[str], NoDecode, BeforeValidator(networks)] = Field(
        default_factory=list,
        description="Networks (CIDR) of proxies that sign operators in at `/ops`. None: keys only.",
    )
    sso_user_header: Annotated[str, AfterValidator(_header)] = Field(
        "x-forwarded-user", description="Header in which such a proxy names the person."
    )
    sso_groups_header: Annotated[str, AfterValidator(_header)] = Field(
        "x-forwarded-groups", description="Header with the groups of the person, separated by commas."
    )
    sso_read_groups: Annotated[list[str], NoDecode, BeforeValidator(words)] = Field(
        default_factory=list, description="Groups that may look (`ops:read`). `*`: everybody."
    )
    sso_write_groups: Annotated[list[str], NoDecode, BeforeValidator(words)] = Field(
        default_factory=list,
        description="Groups that may look and act (`ops:read`, `ops:write`). `*`: everybody.",
        validate_default=True,
    )
    sso_sign_out_url: Annotated[str, AfterValidator(_page)] = Field(
        "", description="Where the proxy signs a person out, such as `/oauth2/sign_out`. Empty: no link."
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

    @field_validator("sso_write_groups")
    @classmethod
    def _somebody_may_look(cls, found: list[str], info: ValidationInfo) -> list[str]:
        if info.data.get("sso_proxies") and not found and not info.data.get("sso_read_groups"):
            raise ValueError(
                "GATEWAY_SSO_PROXIES is set, but no group may do anything; name groups here or in "
                "GATEWAY_SSO_READ_GROUPS"
            )
        return found
