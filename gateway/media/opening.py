"""Opens the media store that the settings name, and looks after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from gateway.errors import ConfigurationError, MediaStoreUnavailable
from gateway.media.base import MediaStore, Unmarked
from gateway.media.folder import WATERMARK, FolderStore
from gateway.media.location import Bucket
from gateway.media.scratch import keep_swept
from gateway.telemetry.logs import Outage

_PAUSE_SECONDS: Final = 30.0
#: What takes longer hangs. Nothing else is begun until it ends, because it may hold a thread.
_ANSWER_SECONDS: Final = 10.0
#: How often a worker looks anew for the marker at its start. A gateway that starts with it makes the marker.
_FIRST_LOOKS: Final = 10
_FIRST_PAUSE_SECONDS: Final = 1.0


@dataclass(slots=True)
class MediaHealth:
    """`up`: whether the media store could be used when it was last looked at; None before that."""

    up: bool | None = None


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


async def tend(
    media: MediaStore,
    location: Path | Bucket,
    clock: Callable[[], float],
    health: MediaHealth | None = None,
) -> None:
    """Runs for ever, beside the work of every process: makes the marker, if that is up to this process, says
    when the store goes away and comes back, and keeps the scratch folder of this machine clean. `clock`: s
    since the epoch. `health` is kept up to date."""
    await asyncio.gather(_keep_looking(media, location, health or MediaHealth()), keep_swept(media, clock))


async def _keep_looking(media: MediaStore, location: Path | Bucket, health: MediaHealth) -> None:
    place = _place_of(location)
    outage = Outage("media_away", "media_back", place=place)
    early = _FIRST_LOOKS
    while True:
        looking = asyncio.create_task(_look(media))
        try:
            done, _ = await asyncio.wait([looking], timeout=_ANSWER_SECONDS)
            if not done:
                health.up = False
                outage.failed(f"no answer within {_ANSWER_SECONDS:g} s")
            await looking
            if health.up is None:
                structlog.get_logger().info("media_ready", place=place)
            health.up = True
            outage.recovered()
        except MediaStoreUnavailable as error:
            if early and isinstance(error, Unmarked):
                early -= 1
                await asyncio.sleep(_FIRST_PAUSE_SECONDS)
                continue
            health.up = False
            outage.failed(str(error))  # it may come back: what needs no file goes on meanwhile
        finally:
            looking.cancel()
        early = 0
        await asyncio.sleep(_PAUSE_SECONDS)


def _place_of(location: Path | Bucket) -> str:
    return str(location.absolute()) if isinstance(location, Path) else location.url


async def _look(media: MediaStore) -> None:
    await media.mark()
    await media.probe()
