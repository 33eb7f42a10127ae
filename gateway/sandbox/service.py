"""The sandbox as one object: its tasks, faults and ledger, and what runs its tasks and sends its callbacks.

The routes only translate between HTTP and this object.
"""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from gateway.environment import Environment
from gateway.sandbox.accounts import MAIN, Accounts
from gateway.sandbox.callbacks import CallbackSender
from gateway.sandbox.checks import TaskSpec
from gateway.sandbox.download import Fetched
from gateway.sandbox.faults import Fault, FaultQueue
from gateway.sandbox.ledger import Ledger, token_of
from gateway.sandbox.options import Options
from gateway.sandbox.random_faults import RandomFaults
from gateway.sandbox.task_runner import TaskRunner
from gateway.sandbox.tasks import Dialect, Task, new_task


class Sandbox:
    """Create and close it inside the running event loop."""

    def __init__(self, options: Options, environment: Environment) -> None:
        self.options = options
        self.environment = environment
        self.accounts = Accounts({MAIN: options.key, **options.accounts})
        self.faults = FaultQueue()
        self.random_faults = RandomFaults()
        self.ledger = Ledger(options.ledger_path, environment, fsync=options.fsync)
        self.tasks: dict[str, Task] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=100), cookie_jar=aiohttp.DummyCookieJar()
        )
        self.callbacks = CallbackSender(options, environment, self.ledger, self._session, self.tasks)
        self.runner = TaskRunner(
            options, environment, self._session, self.callbacks.send_state, self._note_fetched
        )

    def create(
        self, spec: TaskSpec, base_url: str, faults: Mapping[str, Fault], dialect: Dialect, account: str
    ) -> Task:
        """Creates and charges a task; `runner.start` then starts it."""
        options, base_url = self.options, self.options.public_url or base_url
        task = new_task(
            spec, base_url, faults, self.environment, dialect, account, result_seconds=options.result_seconds
        )
        self.tasks[task.id] = task
        return task

    def poll(self, task_id: str, dialect: Dialect, account: str) -> Task | None:
        """Counts one poll of a task. None if there is no such task of this dialect and account, or if a fault
        hides it."""
        task = self.tasks.get(task_id)
        if task is None or (task.dialect, task.account) != (dialect, account):
            return None
        task.polls += 1
        return None if "hidden" in task.faults and task.polls <= task.faults["hidden"].number() else task

    def cancel(self, task: Task) -> bool:
        """Stops and refunds a task that has not started yet; False for any other."""
        if not self.runner.cancel_unstarted(task):
            return False
        token = token_of(task.spec.callback_url)
        payload = task.spec.payload
        self.ledger.write(
            "refund", task_id=task.id, refunded=task.cost, payload=payload, callback_token=token
        )
        return True

    def _note_fetched(self, task: Task, fetched: Fetched) -> None:
        self.ledger.write("fetch", task_id=task.id, bytes=fetched.size, sha256=fetched.sha256)

    def new_request_id(self) -> str:
        return self.environment.entropy(8).hex()

    async def close(self) -> None:
        await self.runner.close()
        await self.callbacks.close()
        await self._session.close()
        self.ledger.close()
