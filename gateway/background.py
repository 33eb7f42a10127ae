"""Background tasks of a process."""

from __future__ import annotations

import asyncio
from typing import Any


async def cancel_all(*tasks: asyncio.Task[Any]) -> None:
    """Cancels the tasks and waits for their end. It cancels until all are done, because a timeout inside the
    Redis client (asyncio.wait_for on Python 3.11) can swallow a cancellation."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=0.5)
