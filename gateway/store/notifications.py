"""Notifications about jobs as they happen: one subscription per process, however many clients wait.

The scripts publish every event for clients on one channel (`publish_event` in scripts/lib/records.lua). This
wakes those who wait for one job to finish, and those who follow a tenant's stream. They then read the truth
from Redis, so a message that is lost on the way costs time but never an event.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.background import cancel_all
from gateway.events import FINAL_TYPES
from gateway.lifecycle import FINAL
from gateway.store import keys
from gateway.telemetry.logs import Outage

_RECONNECT_SECONDS: Final = 0.5
_SILENCE_SECONDS: Final = 15.0
#: A message can be lost while the subscription is down, or dies silently. So everything is checked this
#: often.
CHECK_SECONDS: Final = 5.0
_CHECK_BATCH: Final = 500
_FINAL_STATES: Final = frozenset(state.value for state in FINAL)
_FINAL_TYPES: Final = frozenset(kind.value for kind in FINAL_TYPES)


class WakeSignal:
    """Wakes one waiter. Holds a future only while it sleeps, because there may be thousands of waiters.
    `notify`: there may be something new. `remind`: check whether the client is still there. `expire`: time is
    up."""

    __slots__ = ("_reminded", "_sleep", "expired", "notified")

    def __init__(self) -> None:
        self._sleep: asyncio.Future[None] | None = None
        self._reminded = False
        self.notified = False
        self.expired = False

    def notify(self) -> None:
        self.notified = True
        self._wake()

    def remind(self) -> None:
        self._reminded = True
        self._wake()

    def expire(self) -> None:
        self.expired = True
        self.notify()

    async def wait(self) -> None:
        """Returns when it is notified or reminded, at once if that happened since the last check."""
        if self.notified or self._reminded:
            return
        self._sleep = asyncio.get_running_loop().create_future()
        try:
            await self._sleep
        finally:
            self._sleep = None

    def was_notified(self) -> bool:
        """Whether it was notified since the last call."""
        notified, self.notified = self.notified, False
        return notified

    def was_reminded(self) -> bool:
        """Whether it was reminded since the last call."""
        reminded, self._reminded = self._reminded, False
        return reminded

    def _wake(self) -> None:
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)


class Notifications:
    """`async with notifications:` listens. `with notifications.watch(job_id) as signal:` waits until a job is
    finished. `follow` and `unfollow` are for tenants."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._watched: defaultdict[str, set[WakeSignal]] = defaultdict(set)
        self._followed: dict[str, Callable[[], None]] = {}
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Notifications:
        self._running = [
            asyncio.create_task(self._listen(), name="changes"),
            asyncio.create_task(self._check_regularly(), name="changes, checked again"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_all(*self._running)

    @contextlib.contextmanager
    def watch(self, job_id: str) -> Iterator[WakeSignal]:
        """A signal that is notified when the job is finished. Watch first, then read the job, then wait."""
        signal = WakeSignal()
        self._watched[job_id].add(signal)
        try:
            yield signal
        finally:
            self._watched[job_id].discard(signal)
            if not self._watched[job_id]:
                del self._watched[job_id]

    def follow(self, tenant: str, wake: Callable[[], None]) -> None:
        """`wake` is called when there may be something new in the tenant's stream."""
        self._followed[tenant] = wake

    def unfollow(self, tenant: str) -> None:
        self._followed.pop(tenant, None)

    async def _listen(self) -> None:
        outage = Outage("changes_subscription_lost", "changes_subscription_back")
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(keys.CHANGES)
                    while True:
                        message = await pubsub.get_message(timeout=_SILENCE_SECONDS)
                        if message is None:
                            await pubsub.ping()  # raises if the connection died silently
                        elif message["type"] == "subscribe":
                            # Also after the client reconnected by itself: messages may have been lost.
                            outage.recovered()
                            await self._check()
                        elif message["type"] == "message":
                            self._on_message(message["data"])
            except (RedisError, OSError) as error:
                outage.failed(type(error).__name__)
                await asyncio.sleep(_RECONNECT_SECONDS)

    def _on_message(self, text: str) -> None:
        """`text`: `<tenant> <job> <type> <id>`, as the scripts publish it."""
        tenant, _, rest = text.partition(" ")
        if wake := self._followed.get(tenant):
            wake()
        job_id, _, rest = rest.partition(" ")
        if job_id in self._watched and rest.partition(" ")[0] in _FINAL_TYPES:
            self._notify(job_id)

    def _notify(self, job_id: str) -> None:
        for signal in self._watched.get(job_id, ()):
            signal.notify()

    async def _check_regularly(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            with contextlib.suppress(RedisError, OSError):  # the subscription reports it
                await self._check()

    async def _check(self) -> None:
        """Checks for all waiters at once: a few round trips for thousands of them."""
        for wake in list(self._followed.values()):
            wake()
        watched = iter(list(self._watched))
        while names := list(islice(watched, _CHECK_BATCH)):
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hget(keys.job(name), "state")
                states: list[str | None] = await pipe.execute()
            for name, state in zip(names, states, strict=True):
                if state is None or state in _FINAL_STATES:
                    self._notify(name)
