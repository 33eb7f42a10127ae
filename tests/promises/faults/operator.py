"""The operator of a fault run: decides about jobs that wait for one, by the upstream's own records."""

from __future__ import annotations

import json

from tests.processes import UPSTREAM_KEY
from tests.promises.faults.asking import ask
from tests.promises.faults.ledgers import Ledger
from tests.promises.faults.world import World


class Operator:
    def __init__(self, world: World, ledger: Ledger) -> None:
        self._world, self._ledger = world, ledger

    def attend(self, job: str) -> None:
        """Name the job's task when the upstream has one for it, else have it sent again."""
        tasks = ask("GET", f"{self._world.machine.sandbox}/admin/tasks", key=UPSTREAM_KEY, seconds=20)
        if tasks.status != 200:
            return
        found = [task["id"] for task in tasks.document if f".{job}." in (task["callback_url"] or "")]
        wish = {"action": "bind", "task_id": found[-1]} if found else {"action": "resubmit"}
        answer = ask(
            "POST",
            f"{self._world.gateways[0]}/ops/api/jobs/{job}/resolve",
            key=self._world.ops_key,
            body=json.dumps(wish).encode(),
        )
        self._ledger.write("resolve", job=job, status=answer.status, error=answer.error, **wish)
