"""What the documents say of a poll of a job: by a GET of its tasks, or for evidence when there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.promises.properties.model import Model, ModelJob
from tests.promises.properties.stage import (
    DAY_BUDGET,
    GAP,
    GRACE,
    JOB_DEADLINE,
    NOT_VISIBLE,
    REPORT_WAIT,
    RESUBMIT_MAX,
)

Show = Callable[[str], str]  #: working, completed, failed, canceled, missing or later, of a task


@dataclass(frozen=True, slots=True)
class Looker:
    model: Model
    show: Show
    now: int

    def look(self, job: ModelJob) -> None:
        if job.final:
            self._watch(job)
        elif job.state == "submitted" and job.tasks:
            if not self._only_reported(job):
                self._look_at_tasks(job)
        elif job.state in ("unknown", "submitted"):
            self._seek(job)

    def _only_reported(self, job: ModelJob) -> bool:
        """Word may still come that the task which a callback named is another job's."""
        waits = (job.reported_at or 0) > self.now - REPORT_WAIT * 1000
        return waits and not self.model.trusts(job)

    def _watch(self, job: ModelJob) -> None:
        """A late result is published once. What is not at work any more fills no slot."""
        shown = set(map(self.show, job.tasks))
        watched = job.watched(self.now) and not job.late
        if watched and job.tasks and self._only_reported(job):
            return
        if watched and "completed" in shown:
            job.late = True
            job.told.append("job.late_result")
        if shown and not (watched and "completed" not in shown and shown & {"working", "later"}):
            job.kept_until = None

    def _look_at_tasks(self, job: ModelJob) -> None:
        shown = [self.show(task) for task in job.tasks]
        main = shown[0]
        young = self._since(job, "submitted") <= NOT_VISIBLE
        if "completed" in shown:
            job.go("completed", self.now)
            job.put_first(job.tasks[shown.index("completed")])
        elif set(shown) & {"working", "later"} or (main == "missing" and young):
            self._wait(job)
        elif main == "missing":
            job.fail(self.now, ours=True)
        elif main == "canceled" and job.wished:
            job.go("canceled", self.now)
        else:
            job.fail(self.now)

    def _wait(self, job: ModelJob) -> None:
        if self._since(job, "submitted") > JOB_DEADLINE:
            job.fail(self.now, ours=True)

    def _seek(self, job: ModelJob) -> None:
        """Silence is evidence only while we would have heard a word."""
        since, last = self.model.heard_since, self.model.heard_last
        if since is None or last is None or self.now - last > GAP * 1000:
            return
        if self.now - max(since, job.since.get("unknown", 0), job.lost_at) < GRACE * 1000:
            return
        policy = job.policy or "hold"
        if policy == "manual":  # no task can be at work by now, and the jobs behind it must not wait
            job.idle = True
            return
        day = (job.tenant, datetime.fromtimestamp(self.now / 1000, UTC).date().isoformat())
        spent = self.model.budgets.get(day, 0)
        free = not job.evidence and not job.wished and job.resubmits < RESUBMIT_MAX and spent < DAY_BUDGET
        if policy == "resubmit" and free:
            self.model.budgets[day] = spent + 1
            job.resubmit(self.now)
        else:
            job.fail(self.now, ours=True)

    def _since(self, job: ModelJob, state: str) -> float:
        return (self.now - job.since[state]) / 1000
