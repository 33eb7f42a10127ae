"""Room on the disk of files. Intake closes before it is full, because Redis may write there too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.background import cancel_all
from gateway.errors import DiskFull, MediaStoreUnavailable
from gateway.media.base import MediaStore, Space
from gateway.telemetry.logs import Outage

_PAUSE_SECONDS: Final = 1.0
#: Intake opens again when this share of the needed room is free beyond it.
_HYSTERESIS: Final = 0.1
#: An older reading is ignored; if the disk is full by then, writing a file fails.
_STALE_SECONDS: Final = 10.0


class DiskGauge:
    """`async with gauge:` reads the disk once a second; `check` uses the last reading.

    With less free than needed, jobs with inline media are refused. With less than half of it, all jobs are. A
    bucket has no known limit and closes nothing.
    """

    def __init__(self, media: MediaStore, monotonic: Callable[[], float]) -> None:
        self._media = media
        self._monotonic = monotonic
        self._space: Space | None = None
        self._read_at = 0.0
        self._closed_for_media = self._closed = False
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> DiskGauge:
        self._reader = asyncio.create_task(self._keep_reading(), name="disk")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._reader is not None
        await cancel_all(self._reader)

    @property
    def space(self) -> Space | None:
        """The last reading; None without a recent one."""
        return self._space if self._monotonic() - self._read_at <= _STALE_SECONDS else None

    def check(self, *, inline: bool) -> None:
        """Raises DiskFull when no new job should be accepted. `inline`: the job has inline media."""
        space = self.space
        if space is not None and (self._closed or (inline and self._closed_for_media)):
            raise DiskFull(space.free, space.needed, inline=not self._closed)

    async def read(self) -> None:
        """Reads the disk now. Raises MediaStoreUnavailable."""
        self._space = space = await self._media.space()
        self._read_at = self._monotonic()
        if space is None:
            return
        self._closed_for_media = space.headroom < 1 + (_HYSTERESIS if self._closed_for_media else 0)
        self._closed = space.headroom < 0.5 + (_HYSTERESIS if self._closed else 0)

    async def _keep_reading(self) -> None:
        away = Outage("disk_unknown", "disk_known")
        full = Outage("disk_nearly_full", "disk_has_room")
        while True:
            try:
                await self.read()
                away.recovered()
                if self._closed_for_media and self._space is not None:
                    full.failed(f"{self._space.free} bytes are free, {self._space.needed} are needed")
                else:
                    full.recovered()
            except MediaStoreUnavailable as error:
                away.failed(str(error))
            await asyncio.sleep(_PAUSE_SECONDS)
