"""What the rules stand on: the store's side, the documents' side, and what must be true after every step."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from gateway.dispatch import Role, Ticket
from gateway.endpoints import Endpoint
from gateway.errors import Conflict
from gateway.jobs import Job
from tests.promises.crashes.store import Server
from tests.promises.properties import dump, invariants, money
from tests.promises.properties.dump import Dump
from tests.promises.properties.hands import Hands, without_noise
from tests.promises.properties.model import Model, ModelJob
from tests.promises.properties.stage import RETENTION, Stage, now

NUMBER = st.integers(0, 11)
TWICE = st.sampled_from([False, False, True])
LOOKS = st.sampled_from(["working", "completed", "failed", "canceled", "missing", "later"])


class Ground(RuleBasedStateMachine):
    """The store's side: a stage on an empty server. The documents' side: a model."""

    def __init__(self, server: Server, folder: Path, seen: Counter[str]) -> None:
        super().__init__()
        self.server, self.seen = server, seen
        self.stage = Stage(server, folder, seen)
        self.model = Model(int(RETENTION * 1000))
        self.hands: list[Hands] = []
        self.stale: list[Ticket] = []
        self.sent: dict[tuple[str, int], str] = {}  # of which a callback may come: with which account
        self.owners: dict[tuple[str, str], str] = {}  # (job, task) -> the account that has it
        self.tenants: dict[str, str] = {}
        self.gone: list[str] = []  # jobs that were forgotten
        self.runs = 0
        self.named = 0
        self.look: Dump = dump.read(server)

    @initialize()
    def subscribe(self) -> None:
        for tenant, endpoints in invariants.ENDPOINTS.items():
            for name, events in endpoints.items():
                endpoint = Endpoint(name, tenant, "https://s.example.com", tuple(sorted(events)), "k1", 1)
                now(self.stage.endpoints.create(endpoint, 50))
                if name == "ep_DISABLED":
                    now(self.stage.endpoints.disable(endpoint, "gone", 1))

    # -- helpers

    @property
    def ms(self) -> int:
        return self.stage.now_ms()

    def jobs(self, *states: str) -> list[ModelJob]:
        return [job for job in self.model.jobs.values() if not states or job.state in states]

    def again(self, call: Any, twice: bool) -> Any:
        """The call's result. Sent again because its answer was lost, it says the same and changes nothing."""
        first = now(call())
        if twice:
            before = without_noise(dump.read(self.server))
            with contextlib.suppress(Conflict):
                now(call())
            after = without_noise(dump.read(self.server))
            changed = {
                k: (before.get(k), after.get(k)) for k in before | after if before.get(k) != after.get(k)
            }
            assert not changed, f"sent again, it changed {changed}"
            self.seen["sent again"] += 1
        return first

    def fresh(self, job: ModelJob) -> Job:
        found = now(self.stage.jobs.read(job.name))
        assert found is not None
        return found

    def own(self, job: ModelJob, before: list[str], account: str) -> None:
        """The tasks that the job has now and had not before are that account's."""
        for task in set(job.tasks) - set(before):
            self.owners[job.name, task] = account

    def new_task(self) -> str:
        self.named += 1
        return f"task{self.named}"

    # -- what must always be true

    @invariant()
    def holds(self) -> None:
        self.look = dump.read(self.server)
        for role in Role:
            kept = self.model.kept if role is Role.SUBMIT else set()
            invariants.check_lanes(self.look.role(role), role, self.stage.roles[role], kept)
        invariants.check_accounts(self.look.role(Role.SUBMIT), self.stage.roles[Role.SUBMIT])
        invariants.check_jobs(self.look, self.model, self.ms)
        money.check(self.look)
