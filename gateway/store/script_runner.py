"""Runs our Lua scripts: functions of a library that Redis keeps, called by name.

All calls of a process share few connections (`gateway/store/pipelined_connection.py`): under load, many calls
cost one write to the socket and, with `appendfsync always`, one wait for the disk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gateway.environment import no_crash_point
from gateway.store.client import store_errors
from gateway.store.exchange import Word
from gateway.store.function_loader import FunctionLoader, is_missing
from gateway.store.pipelined_connection import PipelinedConnections
from gateway.store.script_library import READ_ONLY, as_script


class Scripts:
    """`run("verb", keys, args)` is one atomic, durable step. `reach`: the crash points around each."""

    def __init__(self, redis: Redis, reach: Callable[[str], Awaitable[None]] = no_crash_point) -> None:
        self._connections = PipelinedConnections(redis.connection_pool)
        self._reach = reach
        self.loader = FunctionLoader(redis)
        self._functions = self.loader.library.functions

    @property
    def alone(self) -> bool:
        """Whether no process of another version uses this Redis, as far as is known."""
        return self.loader.alone

    async def run(
        self, verb: str, keys: Sequence[str], args: Sequence[Word], *, effect: str | None = None
    ) -> Any:
        """The script's reply, with strings decoded. Raises StoreUnavailable when Redis does not answer; the
        script may have run anyway. `effect`: the name of its crash points, if not the verb."""
        name = effect or verb
        await self._reach(f"{name}.before")
        with store_errors():
            answer = await self._call(verb, (len(keys), *keys, *args))
        await self._reach(f"{name}.after")
        return answer

    async def read(self, *command: Word) -> Any:
        """The reply to one command that only reads, over the same connections: a burst of them opens no
        others. Raises StoreUnavailable when Redis does not answer."""
        with store_errors():
            return await self._connections.call(*command, writes=False)

    async def acquire_leadership(self, lock: str, seconds: float) -> bool:
        """True for only one caller in this many seconds. `lock`: the key of what it then does for all."""
        return bool(await self.run("acquire_leadership", [lock], [int(seconds * 1000)]))

    async def passed(self, effect: str) -> None:
        """The crash points of a step that was taken together with another."""
        await self._reach(f"{effect}.before")
        await self._reach(f"{effect}.after")

    async def _call(self, verb: str, arguments: Sequence[Word]) -> Any:
        writes = verb not in READ_ONLY
        for _ in range(2):
            try:
                return await self._connections.call("FCALL", self._functions[verb], *arguments, writes=writes)
            except ResponseError as error:
                if not is_missing(error):
                    raise
            if not await self.loader.load():
                break
        # a full Redis takes no library, and must finish its jobs all the same
        return await self._connections.call("EVAL", as_script(verb), *arguments, writes=writes)
