"""Asks the upstream to cancel tasks: because the owner wishes it, or because another task has the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.jobs import Job
from gateway.lifecycle import JobEvent
from gateway.settlement import Settlement
from gateway.store.base import JobStore
from gateway.store.effects import SetFields, Tally
from gateway.store.transitions import Guard, Transition
from gateway.upstream.base import CancelDone, CancelRefused, Inconclusive, Snapshot, TaskStatus, Upstream

UNKNOWN_ACCOUNT: Final = Inconclusive("the task's account is not among this worker's settings")


@dataclass(frozen=True, slots=True)
class TaskCanceler:
    jobs: JobStore
    settlement: Settlement
    upstreams: Mapping[str, Upstream]

    def upstream_of(self, job: Job, task_id: str) -> Upstream | None:
        """None when the task's account is not among this worker's settings, so that it cannot be asked."""
        account = job.account_of(task_id)
        if account not in self.upstreams:
            structlog.get_logger().error("account_unknown", job=job.id, account=account)
        return self.upstreams.get(account)

    async def ask(self, job: Job, task_id: str) -> None:
        """The owner wishes that the task is canceled."""
        upstream = self.upstream_of(job, task_id)
        outcome = await upstream.cancel(task_id) if upstream else UNKNOWN_ACCOUNT
        if isinstance(outcome, CancelRefused):
            effects = [SetFields({"cancel_refused": outcome.reason}), Tally(["cancels|refused"])]
            refused = Transition(JobEvent.CANCEL_WISHED, Guard.same_submission(job), effects)
            await self.jobs.apply(job, refused)
        elif not isinstance(outcome, CancelDone):
            structlog.get_logger().warning("cancel_unanswered", job=job.id, task=task_id)

    def certain(self, job: Job, found: Mapping[str, Snapshot]) -> dict[str, Snapshot]:
        """Those of the tasks that no cancel can make free: ended ones, or where there is no cancel."""
        return {
            task: one
            for task, one in found.items()
            if one.status is not TaskStatus.IN_PROGRESS
            or (upstream := self.upstreams.get(job.account_of(task))) is None
            or not upstream.capabilities.cancel
        }

    async def stop_others(self, job: Job, done: str, found: Mapping[str, Snapshot]) -> None:
        """The task `done` has the result. The others are no longer needed, though maybe charged already: one
        that the upstream cancels costs nothing, unless it says something else."""
        charged: dict[str, Snapshot] = {}
        refunded = []
        for task in set(job.tasks) - {done}:
            upstream = self.upstream_of(job, task)
            if upstream is None or not upstream.capabilities.cancel:
                continue
            outcome = await upstream.cancel(task)
            if isinstance(outcome, CancelDone):
                refunded.append(task)
            elif isinstance(outcome, CancelRefused) and task in found:
                charged[task] = found[task]
        if charged or refunded:
            await self.settlement.charge(job, charged, refunded)
