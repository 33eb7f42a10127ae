"""Stores when keys were last used, once a minute. No request waits for it; losing an update is harmless."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Final, Self

from gateway.background import cancel_all
from gateway.errors import StoreUnavailable
from gateway.store.client_keys import RedisKeyStore

_SECONDS: Final = 60.0


class KeyUsageRecorder:
    """`async with KeyUsageRecorder(keys):` stores the pending times once a minute, and at exit."""

    def __init__(self, keys: RedisKeyStore, seconds: float = _SECONDS) -> None:
        self._keys, self._seconds = keys, seconds

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="uses of keys")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await cancel_all(self._task)
        await self._flush()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            await self._flush()

    async def _flush(self) -> None:
        with contextlib.suppress(StoreUnavailable):  # the next use of the key will be stored
            await self._keys.flush_uses()
