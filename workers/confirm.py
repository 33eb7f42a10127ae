"""Learns what became of a task by one authenticated GET.

A callback only makes the poll happen earlier; without one the task is polled anyway. A job that was
resubmitted may have more than one task: the first one that is completed finishes the job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.callbacks import reports
from gateway.dispatch import Ticket
from gateway.environment import Environment
from gateway.jobs import Job, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.settings import Settings
from gateway.settlement import Settlement
from gateway.store.base import JobStore, Outcome, TransitionResult
from gateway.store.effects import Finish, HoldSlot
from gateway.store.transitions import Guard, Transition
from gateway.telemetry.tracing import NO_TRACER, Tracer
from gateway.upstream.base import (
    Found,
    Inconclusive,
    Missing,
    QueryOutcome,
    Snapshot,
    TaskStatus,
    Upstream,
    UpstreamError,
)
from workers.evidence import EvidenceSeeker
from workers.leases import renewed
from workers.task_cancels import UNKNOWN_ACCOUNT, TaskCanceler
from workers.task_status import (
    NONE,
    Tasks,
    believed_task,
    ended,
    found,
    is_done,
    is_of,
    is_working,
    result_of,
    risen,
    usage_of,
)
from workers.unknown_status import UnknownStatusAlarm

_NOT_VISIBLE_SECONDS: Final = 60.0  # a new task may not be visible yet
_EMPTY_ANSWERS: Final = 3  # how often a task may be completed without a video before we give up
_AGAIN_MS: Final = 500
_SOON_SECONDS: Final = 1.0
_GROWTH: Final = 1.5
_JITTER: Final = 0.2
_LATE_OFTEN_MS: Final = 3_600_000  # for so long, a job that we gave up is polled as often as before
_LATE_WAIT_FACTOR: Final = 10  # and then with waits that are this many times longer

_FOREIGN: Final = Inconclusive("the task carries the mark of another job")
_LOST = UpstreamError("upstream_task_lost", "the upstream does not know the task any more")
_EMPTY = UpstreamError("upstream_no_output", "the upstream says the task is completed, but shows no video")
_LATE = UpstreamError(
    "upstream_timeout", "the upstream did not finish in time; the task may have been charged"
)
_NO_REASON = UpstreamError("upstream_error", "the upstream gave no reason")
_CANCELED = UpstreamError("upstream_canceled", "the upstream canceled the task without our request")


@dataclass(frozen=True, slots=True)
class Confirmer:
    jobs: JobStore
    settlement: Settlement
    upstreams: Mapping[str, Upstream]
    environment: Environment
    settings: Settings
    tracer: Tracer = NO_TRACER

    async def confirm(self, ticket: Ticket) -> None:
        async with renewed(self.jobs, ticket, self.settings.lease_seconds):
            await self._confirm(ticket)

    async def _confirm(self, ticket: Ticket) -> None:
        job = await self.jobs.begin_confirm(ticket)
        if job is None:
            await self.jobs.drop(ticket)
            return
        with self.tracer.span("confirm", job.trace, {"job": job.id, "tenant": job.tenant}):
            await self._decide(job, ticket)

    async def _decide(self, job: Job, ticket: Ticket) -> None:
        if job.final:
            await self._watch(job, ticket)
        elif job.state is JobState.QUEUED:  # the next submission schedules its own poll
            await self.jobs.drop(ticket)
        elif job.tasks:
            await self._poll_unless_reported(job, ticket)
        elif job.state is JobState.SUBMITTING:  # the callback arrived before the answer to our own request
            await self.jobs.postpone(ticket, _AGAIN_MS, {})
        elif (snapshot := reports.believed(self.settings, job)) is not None:
            await self._believe(job, snapshot, ticket)
        else:  # unknown; or accepted, but its task turned out to belong to another job
            await self._seeker().seek(job, ticket)

    @property
    def _canceler(self) -> TaskCanceler:
        return TaskCanceler(self.jobs, self.settlement, self.upstreams)

    def _seeker(self) -> EvidenceSeeker:
        return EvidenceSeeker(self.jobs, self.settlement, self.upstreams, self.environment, self.settings)

    async def _poll_unless_reported(self, job: Job, ticket: Ticket) -> None:
        if left := await self._seeker().report_wait_ms(job):
            await self.jobs.postpone(ticket, left, {})
        else:
            await self._poll(job, ticket)

    async def _poll(self, job: Job, ticket: Ticket) -> None:
        """Poll all tasks of the job, the newest first. One with a result decides, else the newest."""
        if job.cancel_wished_at is not None and job.cancel_refused is None:
            for task in job.tasks:
                await self._canceler.ask(job, task)
        polls = [await self._query(job, task) for task in job.tasks]
        job = await UnknownStatusAlarm(self.jobs).observe(job, polls)
        if all(poll is _FOREIGN for poll in polls) and await self._seeker().find(job, ticket):
            return
        if snapshot := result_of(polls, given_up=self._is_late(job)):
            await self._succeed(job, snapshot, ticket, found(job, polls))
        else:
            await self._judge(job, polls[0], ticket, polls)

    async def _query(self, job: Job, task_id: str) -> QueryOutcome:
        upstream = self._canceler.upstream_of(job, task_id)
        outcome = await upstream.query(task_id) if upstream else UNKNOWN_ACCOUNT
        if isinstance(outcome, Found) and not is_of(job, outcome.snapshot):
            structlog.get_logger().error("task_of_another_job", job=job.id, task=task_id)
            return _FOREIGN
        return outcome

    async def _judge(
        self, job: Job, outcome: QueryOutcome, ticket: Ticket, polls: Sequence[QueryOutcome]
    ) -> None:
        match outcome:
            case Found():
                await self._found(job, outcome.snapshot, ticket, polls)
            case Missing():
                young = self._seconds_since(job.submitted_at or job.created_at) <= _NOT_VISIBLE_SECONDS
                if young or any(is_working(poll) for poll in polls):
                    await self._wait(job, ticket, {}, soon=True)
                elif (snapshot := reports.believed(self.settings, job)) is not None:
                    await self._believe(job, snapshot, ticket)
                else:
                    await self._give_up(job, ticket, _LOST, ended(job, polls))
            case Inconclusive():
                structlog.get_logger().warning("query_unanswered", job=job.id, reason=outcome.reason)
                await self._wait(job, ticket, {}, outcome.retry_after_seconds or 0, soon=True)

    async def _found(
        self, job: Job, snapshot: Snapshot, ticket: Ticket, polls: Sequence[QueryOutcome]
    ) -> None:
        if any(is_working(poll) for poll in polls):  # another task of the same job may still succeed
            await self._wait(job, ticket, {"progress": risen(job.progress, snapshot.progress)})
        elif snapshot.status is TaskStatus.COMPLETED and job.misses + 1 >= _EMPTY_ANSWERS:
            await self._give_up(job, ticket, _EMPTY, ended(job, polls))
        elif snapshot.status is TaskStatus.COMPLETED:
            await self._wait(job, ticket, {"misses": job.misses + 1})
        elif snapshot.status is TaskStatus.CANCELED and job.cancel_wished_at is not None:
            done = [submit_ticket(job), ticket]
            charged = ended(job, polls)
            result = await self.settlement.canceled_upstream(job, snapshot, done, charged)
            await self._settled(job, result, ticket)
        else:
            canceled = snapshot.status is TaskStatus.CANCELED
            error = _CANCELED if canceled else snapshot.error or _NO_REASON
            await self._fail(job, error, ticket, ended(job, polls))

    async def _succeed(self, job: Job, snapshot: Snapshot, ticket: Ticket, tasks: Tasks) -> None:
        """`tasks`: all of the job that the upstream showed."""
        tally = self._lost_callback_tally(job)
        if len(job.tasks) > 1:
            tally.append("duplicate_spend|jobs")
        done = [submit_ticket(job), ticket]
        charged = self._canceler.certain(job, tasks)
        result = await self.settlement.succeed(job, snapshot, done, tally, charged)
        await self._settled(job, result, ticket)
        if result.outcome is Outcome.MOVED:
            await self._canceler.stop_others(job, snapshot.task_id, tasks)

    def _lost_callback_tally(self, job: Job) -> list[str]:
        """Counts a lost callback: callbacks are on, and yet a poll was the first to see the final state."""
        return ["callback_lost|jobs"] if self.settings.public_url and job.called_back_at is None else []

    async def _watch(self, job: Job, ticket: Ticket) -> None:
        """A job that we gave up: if a task has a result after all, subscribers get `job.late_result`."""
        now = self.environment.now_ms()
        if job.watch_until is None or now >= job.watch_until or job.late or not job.tasks:
            await self._end_watch(job, ticket)
            return
        if left := await self._seeker().report_wait_ms(job):
            await self.jobs.postpone(ticket, left, {})
            return
        polls = [await self._query(job, task) for task in job.tasks]
        if snapshot := result_of(polls, given_up=True):
            await self.settlement.late(job, snapshot, found(job, polls))
            structlog.get_logger().warning("late_result", job=job.id, tenant=job.tenant)
            await self._end_watch(job, ticket)
        elif any(is_working(poll) for poll in polls):
            factor = 1 if now - (job.finished_at or now) < _LATE_OFTEN_MS else _LATE_WAIT_FACTOR
            wait = min(self.settings.poll_max_seconds * factor * 1000, job.watch_until - now)
            await self.jobs.postpone(ticket, max(int(wait), 1), {})
        else:
            await self.settlement.charge(job, ended(job, polls))
            await self._end_watch(job, ticket)

    async def _end_watch(self, job: Job, ticket: Ticket) -> None:
        """The upstream no longer works on the job: free the slot that was kept for it."""
        if job.tasks:
            over = Transition(JobEvent.DEADLINE_PASSED, effects=[Finish([submit_ticket(job)])])
            await self.jobs.apply(job, over)
        await self.jobs.drop(ticket)

    async def _believe(self, job: Job, snapshot: Snapshot, ticket: Ticket) -> None:
        if job.state is JobState.UNKNOWN:  # a genuine callback proves that the upstream accepted it
            accepted = Transition(JobEvent.UPSTREAM_ACCEPTED, Guard.same_submission(job), [HoldSlot()])
            await self.jobs.apply(job, accepted)
            await self.jobs.postpone(ticket, 0, {})
        elif is_done(snapshot):
            await self._succeed(job, snapshot, ticket, believed_task(job, snapshot))
        else:
            error, charged = snapshot.error or _NO_REASON, believed_task(job, snapshot)
            await self._fail(job, error, ticket, charged)

    async def _wait(
        self,
        job: Job,
        ticket: Ticket,
        fields: dict[str, object],
        at_least: float = 0,
        *,
        soon: bool = False,
    ) -> None:
        """`soon`: the poll failed. If the upstream has reported the end, the next ones follow at once, with
        growing waits."""
        if self._is_late(job):
            await self._give_up(job, ticket, _LATE)
            return
        seconds = self._poll_seconds(job)
        if soon and job.called_back_at is not None:
            seconds = min(seconds, max(self._seconds_since(job.called_back_at), _SOON_SECONDS))
        seconds = max(at_least, seconds)
        counts = {"polls": job.polls + 1, "unknown_status_polls": job.unknown_status_polls}
        await self.jobs.postpone(ticket, int(seconds * 1000), fields | counts)

    def _is_late(self, job: Job) -> bool:
        limit = self.settings.job_deadline(job.off_peak)
        return self._seconds_since(job.submitted_at or job.created_at) > limit

    async def _give_up(self, job: Job, ticket: Ticket, error: UpstreamError, charged: Tasks = NONE) -> None:
        """We decide, not the upstream. So the ticket stays, to watch for a late result."""
        done = [submit_ticket(job)]
        event, usage = JobEvent.DEADLINE_PASSED, usage_of(job, charged)
        result = await self.settlement.fail(job, event, error, done, usage, charged=charged)
        await self._settled(job, result, ticket, error)
        if result.outcome is not Outcome.FENCED:
            await self.jobs.postpone(ticket, int(self.settings.poll_max_seconds * 1000), {})

    async def _fail(self, job: Job, error: UpstreamError, ticket: Ticket, charged: Tasks) -> None:
        done = [submit_ticket(job), ticket]
        tally = self._lost_callback_tally(job)
        event, usage = JobEvent.UPSTREAM_FAILED, usage_of(job, charged)
        result = await self.settlement.fail(job, event, error, done, usage, tally, charged=charged)
        await self._settled(job, result, ticket, error)

    async def _settled(
        self, job: Job, result: TransitionResult, ticket: Ticket, error: UpstreamError | None = None
    ) -> None:
        log = structlog.get_logger().bind(job=job.id, tenant=job.tenant, task=job.task_id)
        if result.outcome is Outcome.FENCED:  # the job changed while we polled: poll again
            await self.jobs.postpone(ticket, 0, {})
        elif result.outcome is Outcome.MOVED and error is not None:
            log.warning("settled", became=result.after, error=error.code)
        elif result.outcome is Outcome.MOVED:
            log.info("settled", became=result.after)
        else:
            log.warning("settled_otherwise", outcome=result.outcome, state=result.after)

    def _poll_seconds(self, job: Job) -> float:
        grown = self.settings.poll_min_seconds * _GROWTH ** min(job.polls, 20)
        jitter = 1 - _JITTER + 2 * _JITTER * self.environment.random()
        return min(grown, self.settings.poll_max_seconds) * jitter

    def _seconds_since(self, ms: int) -> float:
        return self.environment.clock() - ms / 1000
