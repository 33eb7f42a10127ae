"""Types of settings and parsers of their texts, which raise ValueError."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field

from gateway.media.location import location_of
from gateway.settings.redis_url import read_redis_url


def networks(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    for part in parts:
        ip_network(part)
    return parts


def words(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def or_none(value: Any) -> Any:
    return value or None


def _base_url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return value.rstrip("/")


def _redis_url(value: str) -> str:
    read_redis_url(value)
    return value


def _media_url(value: str) -> str:
    if value:
        location_of(value)
    return value


MediaUrl = Annotated[str, AfterValidator(_media_url)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
DurabilityMode = Literal["require", "replicated", "managed", "assume"]


class Demand(NamedTuple):
    """What the store must do before a write counts. `acknowledgements`: of that many replicas. `replicated`:
    the store is known to have replicas, because its URL names sentinels or a cluster."""

    mode: DurabilityMode
    acknowledgements: int = 0
    replicated: bool = False
