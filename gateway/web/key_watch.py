"""Ends the waits and streams of a key when the key ends: revoked, expired, replaced or without the scope."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Final, Self

import structlog

from gateway.errors import ScopeMissing, StoreUnavailable, Unauthenticated
from gateway.store.client_keys import RedisKeyStore
from gateway.store.notifications import WakeSignal
from gateway.tenants import Key, Scope

#: How often each key is read. With the time that a key is cached, less than the five seconds that we promise.
CHECK_SECONDS: Final = 2.0
_BATCH: Final = 500


@dataclass(eq=False, slots=True)
class Watched:
    """One waiting client. `ended`: why its key no longer permits it to wait; None while it does."""

    scope: Scope
    signal: WakeSignal
    ended: Unauthenticated | ScopeMissing | None = None


class KeyWatch:
    """`async with KeyWatch(keys, now_ms) as watch:` reads the keys of all clients that wait, each key once in
    `CHECK_SECONDS`, however many clients wait with it. While Redis is down, only expiry is noticed."""

    def __init__(self, keys: RedisKeyStore, now_ms: Callable[[], int]) -> None:
        self._keys = keys
        self._now_ms = now_ms
        self._known: dict[str, Key] = {}
        self._watched: defaultdict[str, set[Watched]] = defaultdict(set)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="keys of waiting clients")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while not self._task.done():  # a timeout inside the Redis client can swallow a cancellation
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.5)

    @contextlib.contextmanager
    def watching(self, key: Key, scope: Scope, signal: WakeSignal) -> Iterator[Watched]:
        """Within the block, `signal` is notified when the key no longer has the scope."""
        watched = Watched(scope, signal)
        self._known[key.id] = key
        self._watched[key.id].add(watched)
        try:
            yield watched
        finally:
            self._watched[key.id].discard(watched)
            if not self._watched[key.id]:
                del self._watched[key.id]
                self._known.pop(key.id, None)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            with contextlib.suppress(StoreUnavailable):  # expiry is still noticed
                names = iter(list(self._watched))
                while batch := list(islice(names, _BATCH)):
                    await self._read(batch)
            self._end()

    async def _read(self, names: Sequence[str]) -> None:
        """Reads the keys. One whose record cannot be read counts as revoked, and does not affect others."""
        found: Sequence[Key] = ()
        try:
            found = await self._keys.fresh(names)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001  # whatever it is, the other keys must be checked
            if len(names) > 1:
                for name in names:
                    await self._read([name])
                return
            structlog.get_logger().exception("key_check_failed", key=names[0])
        for name in names:
            self._known.pop(name, None)
        self._known |= {key.id: key for key in found if key.id in self._watched}

    def _end(self) -> None:
        now = self._now_ms()
        for name, all_watched in self._watched.items():
            for watched in all_watched:
                if watched.ended is None and (why := _why(self._known.get(name), watched.scope, now)):
                    watched.ended = why
                    watched.signal.notify()


def _why(key: Key | None, scope: Scope, now: int) -> Unauthenticated | ScopeMissing | None:
    """Why the key no longer permits what needs the scope; None if it does."""
    if key is None or key.revoked_at is not None:
        return Unauthenticated("this key was revoked")
    if key.expired(now):
        return Unauthenticated("this key has expired")
    return None if scope in key.scopes else ScopeMissing(scope)
