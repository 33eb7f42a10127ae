"""Waiting for jobs to become final: one subscription for a whole process, however many clients wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.store import keys
from gateway.telemetry import Outage

_RECONNECT_SECONDS: Final = 0.5
_SILENCE_SECONDS: Final = 15.0
#: A notice can be lost while the subscription is down, so that who waits looks again now and then.
LOOK_AGAIN_SECONDS: Final = 5.0


class Finals:
    """`async with finals:` listens. `with finals.watch(job_id) as notice:` gives an event to wait for."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Finals:
        self._listener = asyncio.create_task(self._listen(), name="finals")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        # Once is not enough: a time-out inside the client at the same moment swallows a cancellation.
        while not self._listener.done():
            self._listener.cancel()
            await asyncio.wait([self._listener], timeout=0.5)

    @contextlib.contextmanager
    def watch(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set at the job's notice. Watch first, read the job then, wait last."""
        notice = asyncio.Event()
        self._waiting[job_id].add(notice)
        try:
            yield notice
        finally:
            self._waiting[job_id].discard(notice)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def _listen(self) -> None:
        outage = Outage("finals_subscription_lost", "finals_subscription_back")
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(keys.FINALS)
                    outage.ends()
                    self._tell_all()
                    while True:
                        message = await pubsub.get_message(
                            ignore_subscribe_messages=True, timeout=_SILENCE_SECONDS
                        )
                        if message is None:
                            await pubsub.ping()  # raises when the connection died without a word
                        elif message["type"] == "message":
                            self._tell(message["data"])
            except (RedisError, OSError) as error:
                outage.begins(type(error).__name__)
                await asyncio.sleep(_RECONNECT_SECONDS)

    def _tell(self, job_id: str) -> None:
        for notice in self._waiting.get(job_id, ()):
            notice.set()

    def _tell_all(self) -> None:
        for job_id in self._waiting:
            self._tell(job_id)
