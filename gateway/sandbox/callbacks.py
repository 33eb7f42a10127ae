"""Calls back on changes of a task, in the style that was chosen.

Told are the start (vidu only; vtrix's answer to the creation has said it) and the end. The end is tried
again three times when the answer is not 2xx.
"""

from __future__ import annotations

import asyncio
import uuid
from email.utils import formatdate
from typing import Any

import aiohttp
import orjson

from gateway.environment import Environment
from gateway.sandbox.answers import envelope, vidu_body
from gateway.sandbox.ledger import Ledger, token_of
from gateway.sandbox.options import Options
from gateway.sandbox.signing import signed_headers
from gateway.sandbox.tasks import Task

_ATTEMPTS_AT_THE_END = 4
_TIMEOUT = aiohttp.ClientTimeout(total=10)


class Caller:
    def __init__(
        self, options: Options, environment: Environment, ledger: Ledger, session: aiohttp.ClientSession
    ) -> None:
        self._options = options
        self._environment = environment
        self._ledger = ledger
        self._session = session
        self._under_way: dict[asyncio.Task[None], str] = {}

    def announce(self, task: Task) -> None:
        """Tell of the state the task is in now, in the background. Nobody to tell is fine."""
        style, has_ended = self._options.callback_style, task.status != "in_progress"
        if style == "none" or not task.order.callback_url or (style == "vtrix" and not has_ended):
            return
        if has_ended and "lost_callback" in task.faults:
            self._ledger.write("fault", fault="lost_callback", task_id=task.id)
            return
        body = orjson.dumps(envelope(task, 0.0) if style == "vtrix" else vidu_body(task))
        for _ in range(2 if has_ended and "duplicate_callback" in task.faults else 1):
            call = asyncio.create_task(self._call(task, body, has_ended))
            self._under_way[call] = task.id
            call.add_done_callback(self._under_way.pop)

    async def told(self, task: Task) -> None:
        """Returns when nothing about the task is under way."""
        waited = [call for call, task_id in self._under_way.items() if task_id == task.id]
        await asyncio.gather(*waited)

    async def close(self) -> None:
        for call in list(self._under_way):
            call.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _call(self, task: Task, body: bytes, has_ended: bool) -> None:
        if has_ended and (late := task.faults.get("late_callback")):
            await asyncio.sleep(late.number())
        attempts = _ATTEMPTS_AT_THE_END if has_ended else 1
        for attempt in range(1, attempts + 1):
            sent_at = self._environment.clock()
            facts = await self._post(task.order.callback_url, body)
            self._ledger.write(
                "callback",
                task_id=task.id,
                callback_token=token_of(task.order.callback_url),
                style=self._options.callback_style,
                status=task.status if has_ended else "in_progress",
                attempt=attempt,
                sent_at=sent_at,
                **facts,
            )
            if facts["reply"] is not None and 200 <= facts["reply"] < 300:
                return
            if attempt < attempts:
                await asyncio.sleep(self._options.callback_retry_seconds)

    async def _post(self, url: str, body: bytes) -> dict[str, Any]:
        """`reply`: the HTTP status, or None with the kind of `error`."""
        headers = {"Content-Type": "application/json"}
        if self._options.callback_style == "vidu":
            date = formatdate(self._environment.clock(), usegmt=True)
            nonce = str(uuid.UUID(bytes=self._environment.entropy(16), version=4))
            headers |= signed_headers(self._options.callback_key, url, date, nonce)
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=_TIMEOUT, allow_redirects=False
            ) as reply:
                return {"reply": reply.status}
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return {"reply": None, "error": type(error).__name__}
