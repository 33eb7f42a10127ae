"""Completed jobs with copies of their results, written as a worker would write them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Final

from gateway.assets import Asset, AssetState, Variant
from gateway.dispatch import PREFIX
from gateway.jobs import Job
from gateway.lifecycle import JobState
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.job_fields import to_fields
from tests.gateway.web.api.hearing import post

VIDEO: Final = bytes(range(256)) * 1000
UPSTREAM: Final = "https://cdn.upstream.example.com/v.mp4?token=a%2Fb"
DAY_MS: Final = 86_400_000
_TYPES: Final = {Variant.VIDEO: "video/mp4", Variant.WATERMARKED: "video/mp4", Variant.COVER: "image/jpeg"}
_EXTENSIONS: Final = {Variant.VIDEO: "mp4", Variant.WATERMARKED: "mp4", Variant.COVER: "jpg"}


async def write(resources: Resources, job: Job, **changes: Any) -> Job:
    """Sets these fields of the record."""
    await resources.redis.hset(keys.job(job.id), mapping=to_fields(**changes))  # type: ignore[misc]
    found = await resources.jobs.read(job.id)
    assert found is not None
    return found


async def completed(resources: Resources, *, tenant: str = "acme", **content: str) -> Job:
    """A completed job. `content`: more fields of its video, such as `cover_url`."""
    output = [{"content": [{"type": "video", "url": UPSTREAM, **content}]}]
    job = await post(resources, tenant)
    now = resources.environment.now_ms()
    return await write(resources, job, state=JobState.COMPLETED, output=output, finished_at=now)


async def put_asset(resources: Resources, job: Job, variant: Variant, asset: Asset) -> Job:
    return await write(resources, job, assets={variant: asset})


async def copied(
    resources: Resources,
    job: Job,
    variant: Variant = Variant.VIDEO,
    raw: bytes = VIDEO,
    **changes: Any,
) -> Job:
    """The job with a stored copy of this variant. `changes`: of the asset."""
    key = f"results/{job.id}/{variant}.{_EXTENSIONS[variant]}"
    await resources.media.put(key, raw)
    now = resources.environment.now_ms()
    asset = Asset(
        AssetState.STORED,
        url=UPSTREAM,
        dies_at=now + 3_600_000,
        tries=1,
        key=key,
        size=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        media_type=_TYPES[variant],
        expires_at=now + 7 * DAY_MS,
    )
    await resources.redis.zadd(f"{PREFIX}assets", {f"{job.id}:{variant}": now + 7 * DAY_MS})
    await resources.redis.hincrby(keys.tenant_usage(job.tenant), "results", len(raw))  # type: ignore[misc]
    return await put_asset(resources, job, variant, replace(asset, **changes))
