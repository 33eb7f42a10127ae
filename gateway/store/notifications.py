"""What changes, as it changes: one subscription for a whole process, however many clients wait.

The scripts say on one channel what clients hear of (`publish_event` in scripts/lib/records.lua). Who waits
for one job's end is rung; who follows a tenant is told that there is something new in its stream, which is
the truth: a word that is lost on the way costs time and never an event.
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

from gateway.events import FINAL_TYPES
from gateway.lifecycle import FINAL
from gateway.store import keys
from gateway.telemetry import Outage

_RECONNECT_SECONDS: Final = 0.5
_SILENCE_SECONDS: Final = 15.0
#: A word can be lost while the subscription is down or dies without a sign: so often all is looked through.
LOOK_AGAIN_SECONDS: Final = 5.0
_LOOKED_AT_ONCE: Final = 500
_FINAL_STATES: Final = frozenset(state.value for state in FINAL)
_FINAL_TYPES: Final = frozenset(kind.value for kind in FINAL_TYPES)


class Bell:
    """What one waiter sleeps by: a future while it sleeps and nothing else, for there may be thousands.
    `ring`: there is something for it. `beat`: it should see to itself. `expire`: its time is over."""

    __slots__ = ("_beaten", "_sleep", "expired", "rung")

    def __init__(self) -> None:
        self._sleep: asyncio.Future[None] | None = None
        self._beaten = False
        self.rung = False
        self.expired = False

    def ring(self) -> None:
        self.rung = True
        self._wake()

    def beat(self) -> None:
        self._beaten = True
        self._wake()

    def expire(self) -> None:
        self.expired = True
        self.ring()

    async def wait(self) -> None:
        """Until it was rung or beaten; at once when it was and nobody asked since."""
        if self.rung or self._beaten:
            return
        self._sleep = asyncio.get_running_loop().create_future()
        try:
            await self._sleep
        finally:
            self._sleep = None

    def was_rung(self) -> bool:
        """Whether it was since this was last asked."""
        rung, self.rung = self.rung, False
        return rung

    def was_beaten(self) -> bool:
        """Whether it was since this was last asked."""
        beaten, self._beaten = self._beaten, False
        return beaten

    def _wake(self) -> None:
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)


class Changes:
    """`async with changes:` listens. `with changes.watch(job_id) as bell:` waits for a job's end; `follow`
    and `unfollow` a tenant."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._watched: defaultdict[str, set[Bell]] = defaultdict(set)
        self._followed: dict[str, Callable[[], None]] = {}
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Changes:
        self._running = [
            asyncio.create_task(self._listen(), name="changes"),
            asyncio.create_task(self._look_again(), name="changes, looked at again"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        # Once is not enough: a time-out inside the client at the same moment swallows a cancellation.
        while running := [task for task in self._running if not task.done()]:
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=0.5)

    @contextlib.contextmanager
    def watch(self, job_id: str) -> Iterator[Bell]:
        """A bell that is rung at the job's end. Watch first, read the job then, wait last."""
        bell = Bell()
        self._watched[job_id].add(bell)
        try:
            yield bell
        finally:
            self._watched[job_id].discard(bell)
            if not self._watched[job_id]:
                del self._watched[job_id]

    def follow(self, tenant: str, tell: Callable[[], None]) -> None:
        """`tell` is called when there may be something new in the tenant's stream."""
        self._followed[tenant] = tell

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
                            await pubsub.ping()  # raises when the connection died without a word
                        elif message["type"] == "subscribe":
                            # Again when the client mended the connection by itself: words may be lost.
                            outage.recovered()
                            await self._look()
                        elif message["type"] == "message":
                            self._heard(message["data"])
            except (RedisError, OSError) as error:
                outage.failed(type(error).__name__)
                await asyncio.sleep(_RECONNECT_SECONDS)

    def _heard(self, text: str) -> None:
        """`<tenant> <job> <type> <id>`, as the scripts say it."""
        tenant, _, rest = text.partition(" ")
        if tell := self._followed.get(tenant):
            tell()
        job_id, _, rest = rest.partition(" ")
        if job_id in self._watched and rest.partition(" ")[0] in _FINAL_TYPES:
            self._ring(job_id)

    def _ring(self, job_id: str) -> None:
        for bell in self._watched.get(job_id, ()):
            bell.ring()

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            with contextlib.suppress(RedisError, OSError):  # the subscription tells of it
                await self._look()

    async def _look(self) -> None:
        """One look for all who wait, whatever was said: a few round trips for thousands of them."""
        for tell in list(self._followed.values()):
            tell()
        watched = iter(list(self._watched))
        while names := list(islice(watched, _LOOKED_AT_ONCE)):
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hget(keys.job(name), "state")
                states: list[str | None] = await pipe.execute()
            for name, state in zip(names, states, strict=True):
                if state is None or state in _FINAL_STATES:
                    self._ring(name)
