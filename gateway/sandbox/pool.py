"""A limited pool of render processes. A process is started when it is needed, and replaced if it dies.

A child reads one script per line, and answers with lines of progress and one line with the outcome. It ends
by itself when the sandbox ends in any way, because its next read or write fails.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict

import orjson

from gateway.sandbox.refusals import TaskFailed
from gateway.sandbox.render.script import Script

_SILENCE_SECONDS = 60.0


class RenderChild:
    """One render process. After it has died, it cannot be used again (`is_alive`)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> RenderChild:
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway.sandbox.render", stdin=pipe, stdout=pipe
            )
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def render(self, script: Script, on_progress: Callable[[float], None]) -> None:
        """Returns when the files exist. TaskFailed."""
        writer, reader = self._process.stdin, self._process.stdout
        assert writer is not None
        assert reader is not None
        try:
            writer.write(orjson.dumps(asdict(script), option=orjson.OPT_APPEND_NEWLINE))
            await writer.drain()
            while line := await asyncio.wait_for(reader.readline(), _SILENCE_SECONDS):
                message = orjson.loads(line)
                if "error" in message:
                    raise TaskFailed(*message["error"])
                if message.get("done"):
                    return
                on_progress(message["progress"])
        except (TimeoutError, OSError):
            pass  # it was silent for too long, or its pipe broke: treat it as dead
        await self.stop()
        raise TaskFailed("InternalServiceFailure", "the renderer stopped before the video was complete")

    async def stop(self) -> None:
        if self.is_alive:
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()


class RenderPool:
    def __init__(self, processes: int) -> None:
        self._limit = asyncio.Semaphore(processes)
        self._idle: list[RenderChild] = []
        self._busy: set[RenderChild] = set()

    def pids(self) -> list[int]:
        return [child.pid for child in (*self._idle, *self._busy)]

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[RenderChild]:
        """Waits for a free process and yields it. A process whose render was cancelled is not reused."""
        async with self._limit:
            child = await self._take()
            self._busy.add(child)
            try:
                yield child
            except asyncio.CancelledError:
                await child.stop()
                raise
            finally:
                self._busy.discard(child)
                if child.is_alive:
                    self._idle.append(child)

    async def _take(self) -> RenderChild:
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
        return await RenderChild.start()

    async def close(self) -> None:
        await asyncio.gather(*(child.stop() for child in (*self._idle, *self._busy)))
        self._idle.clear()
