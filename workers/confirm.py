"""Learning a task's fate by one authenticated GET.

A callback only makes it sooner; after silence it happens all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

import structlog

from gateway.dispatch import Ticket
from gateway.environment import Environment
from gateway.jobs import Job
from gateway.lifecycle import JobEvent, JobState
from gateway.settings import Settings
from gateway.settlement import Settlement
from gateway.store.base import Answer, JobStore, Outcome
from gateway.tickets import submit_ticket
from gateway.upstream.base import Found, Later, Missing, Snapshot, TaskStatus, Upstream, UpstreamError

_NOT_VISIBLE_SECONDS: Final = 60.0  # a task may not be visible yet just after it was made
_EMPTY_ANSWERS: Final = 3  # completed, but without a video: looked at again this often
_AGAIN_MS: Final = 500
_GROWTH: Final = 1.5
_JITTER: Final = 0.2

_LOST = UpstreamError("upstream_task_lost", "the upstream does not know the task any more")
_EMPTY = UpstreamError("upstream_no_output", "the upstream calls the task completed, but shows no video")
_LATE = UpstreamError(
    "upstream_timeout", "the upstream did not finish in time; the task may have been charged"
)
_UNKNOWN = UpstreamError(
    "submission_unknown",
    "the upstream's answer to the submission was lost and nothing was heard of a task since; "
    "it may have been charged, so it was not sent again",
)


@dataclass(frozen=True, slots=True)
class Confirmer:
    jobs: JobStore
    settlement: Settlement
    upstream: Upstream
    environment: Environment
    settings: Settings

    async def confirm(self, ticket: Ticket) -> None:
        job = await self.jobs.begin_confirm(ticket)
        if job is None or job.final:
            await self.jobs.drop(ticket)
            return
        if job.state is JobState.UNKNOWN:
            await self._await_evidence(job, ticket)
        elif job.state is JobState.QUEUED:  # a new submission will ask for a look of its own
            await self.jobs.drop(ticket)
        elif job.task_id is None:  # a callback was quicker than the answer to our own request
            await self.jobs.postpone(ticket, _AGAIN_MS, {})
        else:
            await self._look(job, job.task_id, ticket)

    async def _await_evidence(self, job: Job, ticket: Ticket) -> None:
        assert job.unknown_at is not None
        left = self.settings.unknown_grace_seconds - self._seconds_since(job.unknown_at)
        if left > 0:
            await self.jobs.postpone(ticket, int(left * 1000), {})
        else:
            await self._fail(job, JobEvent.DEADLINE_PASSED, _UNKNOWN, ticket)

    async def _look(self, job: Job, task_id: str, ticket: Ticket) -> None:
        outcome = await self.upstream.query(task_id)
        match outcome:
            case Found():
                await self._found(job, outcome.snapshot, ticket)
            case Missing():
                if self._seconds_since(job.submitted_at or job.created_at) > _NOT_VISIBLE_SECONDS:
                    await self._fail(job, JobEvent.UPSTREAM_FAILED, _LOST, ticket)
                else:
                    await self._wait(job, ticket, {})
            case Later():
                structlog.get_logger().warning("query_unanswered", job=job.id, reason=outcome.reason)
                await self._wait(job, ticket, {}, at_least=outcome.retry_after_seconds or 0)
            case _:
                assert_never(outcome)

    async def _found(self, job: Job, snapshot: Snapshot, ticket: Ticket) -> None:
        match snapshot.status:
            case TaskStatus.COMPLETED if _has_video(snapshot):
                await self._settled(
                    job, await self.settlement.succeed(job, snapshot, [submit_ticket(job), ticket]), ticket
                )
            case TaskStatus.COMPLETED if job.misses + 1 >= _EMPTY_ANSWERS:
                await self._fail(job, JobEvent.UPSTREAM_FAILED, _EMPTY, ticket)
            case TaskStatus.COMPLETED:
                await self._wait(job, ticket, {"misses": job.misses + 1})
            case TaskStatus.FAILED:
                error = snapshot.error or UpstreamError("upstream_error", "the upstream gave no reason")
                await self._fail(job, JobEvent.UPSTREAM_FAILED, error, ticket, snapshot.usage)
            case TaskStatus.IN_PROGRESS:
                await self._wait(job, ticket, {"progress": _risen(job.progress, snapshot.progress)})
            case _:
                assert_never(snapshot.status)

    async def _wait(self, job: Job, ticket: Ticket, fields: dict[str, object], at_least: float = 0) -> None:
        if self._seconds_since(job.submitted_at or job.created_at) > self.settings.job_deadline_seconds:
            await self._fail(job, JobEvent.DEADLINE_PASSED, _LATE, ticket)
            return
        seconds = max(at_least, self._poll_seconds(job))
        await self.jobs.postpone(ticket, int(seconds * 1000), {**fields, "polls": job.polls + 1})

    async def _fail(
        self, job: Job, event: JobEvent, error: UpstreamError, ticket: Ticket, usage: object = None
    ) -> None:
        done = [submit_ticket(job), ticket]
        await self._settled(job, await self.settlement.fail(job, event, error, done, usage), ticket, error)

    async def _settled(
        self, job: Job, answer: Answer, ticket: Ticket, error: UpstreamError | None = None
    ) -> None:
        log = structlog.get_logger().bind(job=job.id, tenant=job.tenant, task=job.task_id)
        if answer.outcome is Outcome.FENCED:  # it moved while we looked: look again
            await self.jobs.postpone(ticket, 0, {})
        elif answer.outcome is Outcome.MOVED and error is not None:
            log.warning("settled", became=answer.after, error=error.code)
        elif answer.outcome is Outcome.MOVED:
            log.info("settled", became=answer.after)
        else:
            log.warning("settled_otherwise", outcome=answer.outcome, state=answer.after)

    def _poll_seconds(self, job: Job) -> float:
        grown = self.settings.poll_min_seconds * _GROWTH ** min(job.polls, 20)
        jitter = 1 - _JITTER + 2 * _JITTER * self.environment.random()
        return min(grown, self.settings.poll_max_seconds) * jitter

    def _seconds_since(self, ms: int) -> float:
        return self.environment.clock() - ms / 1000


def _has_video(snapshot: Snapshot) -> bool:
    """Whether the output holds at least one address of a video."""
    for group in snapshot.output:
        content = group.get("content")
        if isinstance(content, list) and any(isinstance(item, dict) and item.get("url") for item in content):
            return True
    return False


def _risen(before: float | None, now: float | None) -> float | None:
    """Progress as clients see it never falls."""
    return max(before or 0.0, now) if now is not None else before
