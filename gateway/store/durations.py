"""How long the upstream usually takes for a video of one kind."""

from __future__ import annotations

from gateway.dispatch import PREFIX
from gateway.jobs import Job
from gateway.store.effect_base import kind_of_video
from gateway.store.script_runner import Scripts

_DURATIONS = f"{PREFIX}durations"


class RedisDurations:
    """Every call may raise StoreUnavailable."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def typical_ms(self, job: Job) -> int | None:
        """The mean for videos like that of the job; None before any was finished."""
        found = await self._scripts.read("HGET", _DURATIONS, f"{kind_of_video(job)}:mean")
        return int(found) if found else None
