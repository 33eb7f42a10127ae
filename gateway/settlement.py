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
from gateway.lifecycle import JobEvent, JobState, job_transitions
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
        fields: dict[str, object] = {
            "output": snapshot.output,
            "usage": snapshot.usage,
            "metadata": snapshot.metadata,
        }
        move = Move(
            JobEvent.UPSTREAM_SUCCEEDED,
            fields=fields,
            done=done,
            tally=tally,
            winner=snapshot.task_id or None,
            learn_ms=self._took_ms(job),
        )
        return await self._settle(job, move)

    async def fail(
        self,
        job: Job,
        event: JobEvent,
        error: UpstreamError,
        done: Sequence[Ticket],
        usage: object = None,
        tally: Sequence[str] = (),
        by: str | None = None,
        slot_ms: int | None = None,
    ) -> Answer:
        """The upstream refused or failed, or a deadline passed: `event` says which. `by`: an operator.
        `slot_ms`: how long the submit slot stays taken, when it is not among `done`."""
        fields: dict[str, Any] = {"error": {"code": error.code, "error_message": error.message}}
        fields["usage"] = usage
        # Given up by us; or sent again, so that an earlier submission may have been paid for.
        if (event is JobEvent.DEADLINE_PASSED or job.resubmits) and self.late_watch_ms:
            fields["watch_until"] = self.environment.now_ms() + self.late_watch_ms
        if event is not JobEvent.UPSTREAM_REJECTED:
            move = Move(event, fields=fields, done=done, tally=tally, by=by, end_hold_ms=slot_ms)
            return await self._settle(job, move)
        # The answer proves that there is no task, whatever was let go; a callback may prove that it is wrong.
        move = Move(
            event,
            fields=fields,
            done=done,
            tally=tally,
            unset=["released_at"],
            expect={"evidence": None, "run": job.run},
        )
        return await self._settle(replace(job, released_at=None), move)

    async def cancel(self, job: Job, done: Sequence[Ticket]) -> Answer:
        """Its owner canceled it before anything was paid."""
        return await self._settle(job, Move(JobEvent.CANCEL_REQUESTED, done=done))

    async def canceled_upstream(self, job: Job, snapshot: Snapshot, done: Sequence[Ticket]) -> Answer:
        """The upstream stopped the task, as its owner wished."""
        fields: dict[str, object] = {"usage": snapshot.usage, "metadata": snapshot.metadata}
        return await self._settle(job, Move(JobEvent.UPSTREAM_CANCELED, fields=fields, done=done))

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

    async def _settle(self, job: Job, move: Move) -> Answer:
        """`move` with all that every end has: its time, its event, and that nothing changed meanwhile."""
        target = job_transitions(move.event).get(job.state, job.state)
        finished_at = max(self.environment.now_ms(), job.created_at)
        owed = None
        if target is not job.state:
            after = replace(job, state=target, finished_at=finished_at, **_given(move.fields))
            owed = events.make(after, await self.jobs.payload(job))
        # The event's bytes were made from this state: had it changed meanwhile, they would be untrue.
        expect: dict[str, int | str | None] = {"state": job.state, "epoch": job.epoch or None}
        if job.state is JobState.SUBMITTING and "released_at" not in move.unset:
            expect["released_at"] = job.released_at
        whole = replace(
            move,
            fields={**move.fields, "finished_at": finished_at},
            expect={**move.expect, **expect},
            owed=owed,
            callback_url=job.callback_url,
            tally=[f"jobs_finished|{target}", *move.tally] if owed else [],
        )
        answer = await self.jobs.apply(job, whole)
        if answer.outcome is Outcome.MOVED and job.keeps_media:
            await self._drop_media(job)
        return answer

    async def _drop_media(self, job: Job) -> None:
        await self.environment.reach("blob_drop.before")
        try:
            await self.blobs.drop(job.id)
        except BlobStoreUnavailable as error:  # settled all the same; the sweep removes them
            structlog.get_logger().warning("media_left_behind", job=job.id, reason=str(error))

    def _took_ms(self, job: Job) -> int | None:
        """How long the upstream took, to be learned; None when there is nothing to learn from."""
        if job.submitted_at is None or job.earlier:
            return None
        if job.called_back_at is not None:
            return max(job.called_back_at - job.submitted_at, 1)
        # A first look that finds the end says only that it took no longer: learned as such, it never fell.
        share = 1.0 if job.polls else 0.9
        return max(int((self.environment.now_ms() - job.submitted_at) * share), 1)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
