"""Records what happened even if Redis is away at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from gateway.backoff import full_jitter
from gateway.environment import Environment
from gateway.errors import StoreUnavailable

T = TypeVar("T")

#: After this long the record is left to the sweep, which assumes the worst about the money.
GIVE_UP_SECONDS: Final = 120.0
_CAP_SECONDS: Final = 0.5


async def persist(record: Callable[[], Awaitable[T]], environment: Environment) -> T:
    """Calls `record` until Redis answers. Raises StoreUnavailable after two minutes."""
    deadline = environment.monotonic() + GIVE_UP_SECONDS
    attempt = 0
    while True:
        try:
            return await record()
        except StoreUnavailable as error:
            attempt += 1
            if environment.monotonic() > deadline:
                raise
            structlog.get_logger().warning("store_away", attempt=attempt, reason=str(error))
            await asyncio.sleep(
                full_jitter(attempt, base_seconds=0.1, cap_seconds=_CAP_SECONDS, random=environment.random)
            )
