"""One upstream outcome -> one final event. Callback, poll and refusal all end here.

The move to the final state, the event with its frozen bytes and the deliveries that are owed are one
durable step; whoever settles a job that is settled already changes nothing. A job that we gave up
ourselves may have a result all the same: it is told as an event of its own, and the state stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from gateway import events
from gateway.blobs import BlobStore
from gateway.dispatch import Ticket
from gateway.environment import Environment
from gateway.errors import BlobStoreUnavailable
from gateway.jobs import Job, rfc3339
from gateway.lifecycle import JobEvent, JobState, job_moves
from gateway.store.base import Answer, JobStore, Move, Outcome
from gateway.upstream.base import Snapshot, TaskStatus, UpstreamError


def unpaid(job: Job) -> bool:
    """Whether no byte that could cost anything has left for the newest submission. The store compares the
    same again as it moves the job, and whoever is about to release it is fenced by that move."""
    return job.state is JobState.QUEUED or (job.state is JobState.SUBMITTING and job.released_at is None)


@dataclass(frozen=True, slots=True)
class Settlement:
    """`late_watch_ms`: how long a job that we gave up is watched for a late result."""

    jobs: JobStore
    blobs: BlobStore
    environment: Environment
    late_watch_ms: int = 86_400_000

    async def succeed(
        self, job: Job, snapshot: Snapshot, done: Sequence[Ticket], tally: Sequence[str] = ()
    ) -> Answer:
        """The upstream made the video."""
        assert snapshot.status is TaskStatus.COMPLETED
        fields = {
            "output": snapshot.output,
            "usage": snapshot.usage,
            "metadata": snapshot.metadata,
            "task_id": snapshot.task_id or None,
        }
        return await self._settle(job, JobEvent.UPSTREAM_SUCCEEDED, fields, done, tally)

    async def fail(
        self,
        job: Job,
        event: JobEvent,
        error: UpstreamError,
        done: Sequence[Ticket],
        usage: object = None,
        tally: Sequence[str] = (),
        by: str | None = None,
    ) -> Answer:
        """The upstream refused or failed, or a deadline passed: `event` says which. `by`: an operator."""
        fields: dict[str, Any] = {"error": {"code": error.code, "error_message": error.message}}
        fields["usage"] = usage
        until = self.environment.now_ms() + self.late_watch_ms
        if event is JobEvent.DEADLINE_PASSED and self.late_watch_ms:
            fields["watch_until"] = until
        if job.resubmits and self.late_watch_ms:  # an earlier submission of it may have been paid for
            fields["watch_until"] = until
        return await self._settle(job, event, fields, done, tally, by)

    async def cancel(self, job: Job, done: Sequence[Ticket]) -> Answer:
        """Its owner canceled it before anything was paid."""
        return await self._settle(job, JobEvent.CANCEL_REQUESTED, {}, done)

    async def canceled_upstream(self, job: Job, snapshot: Snapshot, done: Sequence[Ticket]) -> Answer:
        """The upstream stopped the task, as its owner wished."""
        fields = {"usage": snapshot.usage, "metadata": snapshot.metadata}
        return await self._settle(job, JobEvent.UPSTREAM_CANCELED, fields, done)

    async def late(self, job: Job, snapshot: Snapshot) -> Answer:
        """The task of a job that we had given up was finished: told once, beside the state."""
        now = self.environment.now_ms()
        result = {
            "at": rfc3339(now),
            "task_id": snapshot.task_id,
            "output": snapshot.output,
            "usage": snapshot.usage,
            "metadata": snapshot.metadata,
        }
        after = replace(job, late=result)
        move = Move(
            JobEvent.LATE_SUCCESS,
            fields={"late": result},
            beside=True,
            owed=events.make_late(after, await self.jobs.payload(job), now),
            callback_url=job.callback_url,
            tally=["late_results|told"],
        )
        return await self.jobs.apply(job, move)

    async def _settle(
        self,
        job: Job,
        event: JobEvent,
        fields: dict[str, Any],
        done: Sequence[Ticket],
        tally: Sequence[str] = (),
        by: str | None = None,
    ) -> Answer:
        moves = job_moves(event)
        target = moves.get(job.state, job.state)
        finished_at = max(self.environment.now_ms(), job.created_at)
        owed = None
        rejected = event is JobEvent.UPSTREAM_REJECTED
        if rejected:  # its answer proves that there is no task: nothing was paid, whatever was let go
            job = replace(job, released_at=None)
        if target is not job.state:
            after = replace(job, state=target, finished_at=finished_at, **_given(fields))
            owed = events.make(after, await self.jobs.payload(job))
        # The event's bytes were made from this state: had it changed meanwhile, they would be untrue.
        expect: dict[str, int | str | None] = {"state": job.state, "epoch": job.epoch or None}
        if job.state is JobState.SUBMITTING and job.released_at is None and not rejected:
            expect["released_at"] = None
        learn_ms = None
        if event is JobEvent.UPSTREAM_SUCCEEDED and job.submitted_at is not None and not job.earlier:
            # A first look that finds the end says only that it took no longer: learned as such, it never fell.
            shorter = 0.9 if job.called_back_at is None and not job.polls else 1.0
            ended_at = job.called_back_at or finished_at
            learn_ms = max(int((ended_at - job.submitted_at) * shorter), 1)
        move = Move(
            event,
            fields={**fields, "finished_at": finished_at},
            unset=["released_at"] if rejected else [],
            expect=expect,
            done=done,
            owed=owed,
            callback_url=job.callback_url,
            learn_ms=learn_ms,
            by=by,
            tally=[f"jobs_finished|{target}", *tally] if owed else [],
        )
        answer = await self.jobs.apply(job, move)
        if answer.outcome is Outcome.MOVED and job.keeps_media:
            await self.environment.reach("blob_drop.before")
            try:
                await self.blobs.drop(job.id)
            except BlobStoreUnavailable as error:  # settled all the same; the sweep removes them
                structlog.get_logger().warning("media_left_behind", job=job.id, reason=str(error))
        return answer


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
