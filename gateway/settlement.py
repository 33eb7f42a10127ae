"""One upstream outcome -> one final event. Callback, poll and refusal all end here.

The move to the final state, the event with its frozen bytes and the deliveries that are owed are one
durable step; whoever settles a job that is settled already changes nothing.
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
from gateway.jobs import Job
from gateway.lifecycle import JobEvent, job_moves
from gateway.store.base import Answer, JobStore, Move, Outcome
from gateway.upstream.base import Snapshot, TaskStatus, UpstreamError


@dataclass(frozen=True, slots=True)
class Settlement:
    jobs: JobStore
    blobs: BlobStore
    environment: Environment

    async def succeed(self, job: Job, snapshot: Snapshot, done: Sequence[Ticket]) -> Answer:
        """The upstream made the video."""
        assert snapshot.status is TaskStatus.COMPLETED
        fields = {
            "output": snapshot.output,
            "usage": snapshot.usage,
            "metadata": snapshot.metadata,
            "task_id": snapshot.task_id,
        }
        return await self._settle(job, JobEvent.UPSTREAM_SUCCEEDED, fields, done)

    async def fail(
        self, job: Job, event: JobEvent, error: UpstreamError, done: Sequence[Ticket], usage: object = None
    ) -> Answer:
        """The upstream refused or failed, or a deadline passed: `event` says which."""
        described = {"code": error.code, "error_message": error.message}
        return await self._settle(job, event, {"error": described, "usage": usage}, done)

    async def cancel(self, job: Job, done: Sequence[Ticket]) -> Answer:
        """Its owner canceled it while it waited."""
        return await self._settle(job, JobEvent.CANCEL_REQUESTED, {}, done)

    async def _settle(
        self, job: Job, event: JobEvent, fields: dict[str, Any], done: Sequence[Ticket]
    ) -> Answer:
        moves = job_moves(event)
        target = moves.get(job.state, job.state)
        finished_at = max(self.environment.now_ms(), job.created_at)
        owed = None
        if target is not job.state:
            after = replace(job, state=target, finished_at=finished_at, **_given(fields))
            owed = events.make(after, await self.jobs.payload(job))
        move = Move(
            event,
            fields={**fields, "finished_at": finished_at},
            # The event's bytes were made from this state: had it changed meanwhile, they would be untrue.
            expect={"state": job.state, "epoch": job.epoch or None},
            done=done,
            owed=owed,
            callback_url=job.callback_url,
            tally=[f"jobs_finished|{target}"] if owed else [],
        )
        answer = await self.jobs.apply(job, move)
        if answer.outcome is Outcome.MOVED and job.keeps_media:
            try:
                await self.blobs.drop(job.id)
            except BlobStoreUnavailable as error:  # settled all the same; the sweep removes them
                structlog.get_logger().warning("media_left_behind", job=job.id, reason=str(error))
        return answer


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
