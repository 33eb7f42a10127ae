"""Opens the media store that the settings name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.errors import ConfigurationError, MediaStoreUnavailable
from gateway.media.base import MediaStore
from gateway.media.folder import WATERMARK, FolderStore
from gateway.media.location import Bucket
from gateway.media.scratch import keep_swept


def open_store(
    location: Path | Bucket, watermark: float = WATERMARK, *, makes_marker: bool = True
) -> MediaStore:
    """`watermark`: share of a folder's disk above which nothing is stored. `makes_marker`: only a gateway may
    say which place is the right one. ConfigurationError if the extra is not installed, or the `AWS_*`
    variables make no sense. Nothing is read or written yet."""
    if isinstance(location, Path):
        return FolderStore(location, watermark, makes_marker=makes_marker)
    try:
        from gateway.media.bucket import BucketStore
    except ImportError:
        message = "GATEWAY_MEDIA_URL: a bucket needs an extra: pip install 'vidu-gateway[s3]'"
        raise ConfigurationError(message) from None
    return BucketStore(location, makes_marker=makes_marker)


async def tend(media: MediaStore, location: Path | Bucket, clock: Callable[[], float]) -> None:
    """Runs for ever, beside the work of every process: makes the marker, if that is up to this process, and
    says once whether a bucket can be used. Then it keeps the scratch folder of this machine clean. `clock`: s
    since the epoch."""
    with contextlib.suppress(MediaStoreUnavailable):
        await media.mark()
    if isinstance(location, Bucket):
        await _say_whether_there(media, location)
    await keep_swept(media, clock)


async def _say_whether_there(media: MediaStore, bucket: Bucket) -> None:
    log = structlog.get_logger().bind(bucket=bucket.url)
    try:
        await media.probe()
        log.info("media_bucket_ready")
    except MediaStoreUnavailable as error:  # it may come back: what needs no file goes on meanwhile
        log.warning("media_bucket_away", reason=str(error))
