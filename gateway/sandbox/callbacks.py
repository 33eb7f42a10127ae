"""Sends callbacks when a task changes: native ones for the vidu dialect, else in the configured style.

The vidu style sends every change, the vtrix style only the end (its answer to the creation shows the rest).
The final callback is sent again up to three times if the answer is not 2xx.
"""

from __future__ import annotations

import asyncio
import uuid
from email.utils import formatdate
from typing import Any

import aiohttp

from gateway.environment import Environment
from gateway.sandbox.answers import envelope
from gateway.sandbox.callback_plan import PlannedCallback, plan_callbacks
from gateway.sandbox.ledger import Ledger, token_of
from gateway.sandbox.options import CallbackStyle, Options
from gateway.sandbox.signing import signed_headers
from gateway.sandbox.tasks import Task
from gateway.sandbox.vidu_answers import vidu_body

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_FORGERS_KEY = "a-key-that-made-no-task"


class CallbackSender:
    """`tasks`: all tasks of the sandbox, oldest first."""

    def __init__(
        self,
        options: Options,
        environment: Environment,
        ledger: Ledger,
        session: aiohttp.ClientSession,
        tasks: dict[str, Task],
    ) -> None:
        self._options = options
        self._environment = environment
        self._ledger = ledger
        self._session = session
        self._tasks = tasks
        self._running: dict[asyncio.Task[None], str] = {}

    def send_state(self, task: Task) -> None:
        """Sends the current state of the task in the background, if it has a callback URL."""
        style, url = self._style_of(task), task.spec.callback_url
        if style == "none" or not url or (style == "vtrix" and not task.has_ended):
            return
        plan = plan_callbacks(task, _vtrix_body if style == "vtrix" else vidu_body, self._newest_but(task))
        for fault in plan.applied:
            self._ledger.fault(
                fault, task_id=task.id, payload=task.spec.payload, callback_token=token_of(url)
            )
        if plan.steps:
            calls = asyncio.create_task(self._follow(task, plan.steps))
            self._running[calls] = task.id
            calls.add_done_callback(self._running.pop)

    async def wait_for(self, task: Task) -> None:
        """Waits until no callback of the task is being sent."""
        running = [calls for calls, task_id in self._running.items() if task_id == task.id]
        await asyncio.gather(*running)

    async def close(self) -> None:
        for calls in list(self._running):
            calls.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _style_of(self, task: Task) -> CallbackStyle:
        return "vidu" if task.dialect == "vidu" else self._options.callback_style

    def _newest_but(self, task: Task) -> Task | None:
        others = (other for other in reversed(self._tasks.values()) if other.dialect == task.dialect)
        return next((other for other in others if other is not task), None)

    async def _follow(self, task: Task, steps: list[list[PlannedCallback]]) -> None:
        for step in steps:
            await asyncio.gather(*(self._call(task, call) for call in step))

    async def _call(self, task: Task, call: PlannedCallback) -> None:
        if call.delay:
            await asyncio.sleep(call.delay)
        for attempt in range(1, call.attempts + 1):
            sent_at = self._environment.clock()
            facts = await self._post(task, call)
            self._ledger.write(
                "callback",
                task_id=task.id,
                dialect=task.dialect,
                callback_token=token_of(call.url),
                style=self._style_of(task),
                status=call.status,
                mutation=call.mutation,
                forgery=call.forgery,
                crossed_with=call.crossed_with,
                bytes=len(call.body),
                attempt=attempt,
                sent_at=sent_at,
                **facts,
            )
            if facts["reply"] is not None and 200 <= facts["reply"] < 300:
                return
            if attempt < call.attempts:
                await asyncio.sleep(self._options.callback_retry_seconds)

    async def _post(self, task: Task, call: PlannedCallback) -> dict[str, Any]:
        """`reply`: the HTTP status; or None, with the type of the exception as `error`."""
        headers = {"Content-Type": "application/json"}
        if self._style_of(task) == "vidu":
            date = formatdate(self._environment.clock(), usegmt=True)
            nonce = str(uuid.UUID(bytes=self._environment.entropy(16), version=4))
            headers |= signed_headers(self._key_for(task, call), call.url, date, nonce)
        try:
            async with self._session.post(
                call.url, data=call.body, headers=headers, timeout=_TIMEOUT, allow_redirects=False
            ) as reply:
                return {"reply": reply.status}
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return {"reply": None, "error": type(error).__name__}

    def _key_for(self, task: Task, call: PlannedCallback) -> str:
        """The key that created the task. For the vtrix dialect it is the reseller's, which clients do not
        have."""
        if call.forgery:
            return _FORGERS_KEY
        native = task.dialect == "vidu"
        return self._options.key_of(task.account) if native else self._options.callback_key


def _vtrix_body(task: Task) -> dict[str, Any]:
    return envelope(task, 0.0)
