"""The result of a job as clients see it: the upstream's output, and the files that we copied of it.

`client_url` is the base URL by which clients reach the gateway. If it is not set, they get paths.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from gateway import jobs
from gateway.assets import Asset, AssetState, Variant
from gateway.jobs import rfc3339
from gateway.views.shapes import Timestamp, extensible, open_shape, shape


@open_shape
class Content(TypedDict):
    type: str
    url: str
    """The plain video."""
    watermarked_url: NotRequired[Annotated[str | None, Field(json_schema_extra={"default": None})]]
    """The marked video, if `watermark` was requested and the upstream provided one."""
    stable_url: NotRequired[str]
    """Where this gateway serves the video: our copy, or else a redirect to `url`. Only with the first video.
    Send your key, or create a link. A path if the gateway does not know its own address."""


@open_shape
class OutputGroup(TypedDict):
    content: list[Content]


@shape
class StoredAsset(TypedDict):
    """A file of the result, and our copy of it."""

    url: str
    """Where this gateway serves it, as `stable_url`."""
    state: Annotated[str, extensible(list(AssetState))]
    """`pending`: it is being copied. `stored`: there is a copy. `failed`: there will be none. `expired`: the
    copy was deleted. Without a copy, `url` redirects to the upstream for as long as its address works."""
    bytes: Annotated[int | None, Field(ge=0)]
    sha256: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$")]
    media_type: str | None
    expires_at: Timestamp | None
    """When the copy is deleted."""
    reason: str | None
    """Why there is no copy."""


def content_path(job_id: str, variant: Variant) -> str:
    return f"/v1/jobs/{job_id}/content?variant={variant}"


def output_of(job: jobs.Job, client_url: str) -> list[OutputGroup]:
    """The stored output, which got its shape when it was stored. Only its first video has a stable address:
    it is the one that `assets.addresses` takes."""
    groups: list[dict[str, Any]] = [dict(group) for group in job.output or ()]
    for group in groups:
        items = group["content"] = [dict(item) for item in group.get("content", ())]
        for item in items:
            if item.get("url"):
                item["stable_url"] = client_url + content_path(job.id, Variant.VIDEO)
                return cast(list[OutputGroup], groups)
    return cast(list[OutputGroup], groups)


def assets_of(job: jobs.Job, client_url: str) -> dict[str, StoredAsset]:
    return {
        variant.value: _asset(asset, client_url + content_path(job.id, variant))
        for variant, asset in job.assets.items()
    }


def _asset(asset: Asset, url: str) -> StoredAsset:
    return {
        "url": url,
        "state": asset.state,
        "bytes": asset.size,
        "sha256": asset.sha256,
        "media_type": asset.media_type,
        "expires_at": rfc3339(asset.expires_at),
        "reason": asset.reason,
    }
