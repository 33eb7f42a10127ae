"""Background tasks end when they are asked to."""

from __future__ import annotations

import asyncio
import contextlib

from gateway.background import cancel_all


async def test_a_task_that_swallows_a_cancellation_is_canceled_again() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 2:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            swallowed += 1
        await asyncio.sleep(3600)

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(asyncio.sleep(3600))]
    await asyncio.sleep(0)
    await cancel_all(*tasks)
    assert (swallowed, [task.cancelled() for task in tasks]) == (2, [True, True])


async def test_a_task_that_has_failed_is_left_to_whoever_asks_for_its_result() -> None:
    async def failing() -> None:
        raise ValueError

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    await cancel_all(task)
    assert isinstance(task.exception(), ValueError)
