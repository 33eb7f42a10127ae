"""The sandbox as one object: its tasks, faults, ledger, studio and caller. The routes only translate."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from gateway.environment import Environment
from gateway.sandbox.accounts import MAIN, Accounts
from gateway.sandbox.callbacks import Caller
from gateway.sandbox.chances import Chances
from gateway.sandbox.checks import Order
from gateway.sandbox.faults import Fault, FaultBook
from gateway.sandbox.ledger import Ledger, token_of
from gateway.sandbox.options import Options
from gateway.sandbox.studio import Studio
from gateway.sandbox.tasks import Dialect, Task, new_task


class Sandbox:
    """Make it inside the running loop, close it there."""

    def __init__(self, options: Options, environment: Environment) -> None:
        self.options = options
        self.environment = environment
        self.accounts = Accounts({MAIN: options.key, **options.accounts})
        self.faults = FaultBook()
        self.chances = Chances()
        self.ledger = Ledger(options.ledger_path, environment, fsync=options.fsync)
        self.tasks: dict[str, Task] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=100), cookie_jar=aiohttp.DummyCookieJar()
        )
        self.caller = Caller(options, environment, self.ledger, self._session, self.tasks)
        self.studio = Studio(options, environment, self._session, self.caller.announce)

    def create(
        self, order: Order, base_url: str, faults: Mapping[str, Fault], dialect: Dialect, account: str
    ) -> Task:
        """The task exists and costs from now on; `studio.begin` sets it going."""
        task = new_task(
            order, self.options.public_url or base_url, faults, self.environment, dialect, account
        )
        self.tasks[task.id] = task
        return task

    def look(self, task_id: str, dialect: Dialect, account: str) -> Task | None:
        """One poll of a task, as far as those who made it so, and with this account, may see it."""
        task = self.tasks.get(task_id)
        if task is None or (task.dialect, task.account) != (dialect, account):
            return None
        task.polls += 1
        return None if "hidden" in task.faults and task.polls <= task.faults["hidden"].number() else task

    def cancel(self, task: Task) -> bool:
        """Stops and refunds a task that nobody works on yet; False for any other."""
        if not self.studio.withdraw(task):
            return False
        token = token_of(task.order.callback_url)
        payload = task.order.payload
        self.ledger.write(
            "refund", task_id=task.id, refunded=task.cost, payload=payload, callback_token=token
        )
        return True

    def new_request_id(self) -> str:
        return self.environment.entropy(8).hex()

    async def close(self) -> None:
        await self.studio.close()
        await self.caller.close()
        await self._session.close()
        self.ledger.close()
