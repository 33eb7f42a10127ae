"""Our Lua scripts: loaded once from their files, run by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from gateway.store.client import store_errors

_FOLDER: Final = resources.files("gateway.store") / "scripts"
_PARTS: Final = ("lanes.lua", "records.lua")
_VERBS: Final = ("accept", "begin", "dispatch", "expired", "postpone", "release", "ring", "transition")


class Scripts:
    """`run("verb", keys, args)` is one atomic, durable step."""

    def __init__(self, redis: Redis) -> None:
        self._command: Callable[..., Awaitable[Any]] = redis.execute_command
        parts = "".join((_FOLDER / name).read_text() for name in _PARTS)
        self._sources = {verb: (parts + (_FOLDER / f"{verb}.lua").read_text()).encode() for verb in _VERBS}
        self._hashes = {
            verb: hashlib.sha1(source, usedforsecurity=False).hexdigest()
            for verb, source in self._sources.items()
        }

    async def run(self, verb: str, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
        """The script's answer, texts decoded. StoreUnavailable when Redis does not answer; the script may
        have run all the same."""
        with store_errors():
            try:
                return await self._command("EVALSHA", self._hashes[verb], len(keys), *keys, *args)
            except NoScriptError:
                return await self._command("EVAL", self._sources[verb], len(keys), *keys, *args)
