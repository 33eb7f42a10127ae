"""Shows to the outside that the loops of all processes run: a file is touched, and a probe looks at its age.

Workers have no port, and a probe must not ask Redis: an outage of Redis would restart them all, in the middle
of what they are paying for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from gateway.background import cancel_all
from gateway.errors import ConfigurationError
from gateway.local.shared_memory import Shared
from gateway.telemetry.logs import Outage

TOUCH_SECONDS: Final = 1.0
#: A process whose loop was silent for this long hangs: its brothers touch the file no more either.
HANGS_SECONDS: Final = 5.0


class AliveFile:
    """One for all processes that share `shared`. `monotonic`: a clock that they all read alike."""

    def __init__(self, path: Path, shared: Shared, monotonic: Callable[[], float]) -> None:
        """Removes what an earlier run left. ConfigurationError if the file cannot be written."""
        self._path = path
        self._shared = shared
        self._monotonic = monotonic
        self._outage = Outage("alive_file_failed", "alive_file_works", path=str(path))
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise ConfigurationError(f"--alive-file: cannot write to the folder {path.parent}")
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(f"--alive-file: cannot write {path}: {error.strerror}") from None

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """While this runs, the loop of this process counts as alive as long as it turns."""
        task = asyncio.create_task(self._run(), name="alive file")
        try:
            yield
        finally:
            await cancel_all(task)

    async def _run(self) -> None:
        while True:
            now = self._monotonic()
            self._shared.turned(now)
            if now - self._shared.last_turn_of_all() <= HANGS_SECONDS:
                self._touch()
            await asyncio.sleep(TOUCH_SECONDS)

    def _touch(self) -> None:
        try:
            self._path.touch()
        except OSError as error:
            self._outage.failed(error.strerror or type(error).__name__)
        else:
            self._outage.recovered()
