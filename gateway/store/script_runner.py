"""Runs our Lua scripts: loaded once from their files, called by hash.

All calls of a process share one connection (`gateway/store/pipelined_connection.py`): under load, many calls
cost one write to the socket and, with `appendfsync always`, one wait for the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from gateway.environment import no_crash_point
from gateway.store.client import store_errors
from gateway.store.pipelined_connection import PipelinedConnection
from gateway.store.script_linker import compose

_FOLDER: Final = resources.files("gateway.store") / "scripts"
_PARTS: Final = (
    *("ranks.lua", "account_slots.lua", "lanes.lua", "account_health.lua", "queue_position.lua"),
    *("dispatching.lua", "circuit_breaker.lua", "quotas.lua", "records.lua", "tasks.lua"),
    *("transitions.lua", "effects.lua"),
)
# A full Redis accepts no new job, but must finish those it has: all scripts except `accept` may write then.
_DRAINING: Final = "#!lua flags=allow-oom\n"

Word = str | bytes | int | float


class LinkedScript(NamedTuple):
    source: bytes
    sha1: str


def shared_parts() -> str:
    """The text of all shared parts, in the order of their dependencies."""
    return "".join((_FOLDER / "lib" / name).read_text() for name in _PARTS)


@cache
def linked_scripts() -> Mapping[str, LinkedScript]:
    """Every verb, linked with the shared pieces that it needs. Built once per process."""
    parts, linked = shared_parts(), {}
    for path in _FOLDER.iterdir():
        verb, _, ending = path.name.rpartition(".")
        if ending == "lua":
            head = "" if verb == "accept" else _DRAINING
            source = (head + compose(parts, path.read_text())).encode()
            linked[verb] = LinkedScript(source, hashlib.sha1(source, usedforsecurity=False).hexdigest())
    return linked


class Scripts:
    """`run("verb", keys, args)` is one atomic, durable step. `reach`: the crash points around each."""

    def __init__(self, redis: Redis, reach: Callable[[str], Awaitable[None]] = no_crash_point) -> None:
        self._connection = PipelinedConnection(redis.connection_pool)
        self._reach = reach
        self._scripts = linked_scripts()

    async def run(
        self, verb: str, keys: Sequence[str], args: Sequence[Word], *, effect: str | None = None
    ) -> Any:
        """The script's reply, with strings decoded. Raises StoreUnavailable when Redis does not answer; the
        script may have run anyway. `effect`: the name of its crash points, if not the verb."""
        name = effect or verb
        script = self._scripts[verb]
        await self._reach(f"{name}.before")
        with store_errors():
            try:
                answer = await self._connection.call("EVALSHA", script.sha1, len(keys), *keys, *args)
            except NoScriptError:
                answer = await self._connection.call("EVAL", script.source, len(keys), *keys, *args)
        await self._reach(f"{name}.after")
        return answer
