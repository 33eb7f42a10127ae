"""Raises the alarm when the upstream reports a status that nobody knows.

Such a task counts as in progress, because failing it could throw away a paid result. But it holds a slot, so
operators must hear of it: at once if an error stands beside the word, or else after a few polls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from gateway.jobs import Job
from gateway.store.base import JobStore
from gateway.upstream.base import Found, Inconclusive, QueryOutcome

#: Polls in a row without a known status before operators hear of it. Upstreams may be odd for a moment.
PATIENCE: Final = 3
#: Instead of a word, if an answer of success has no status at all.
NO_STATUS: Final = "(no status)"


@dataclass(frozen=True, slots=True)
class UnknownStatusAlarm:
    jobs: JobStore

    async def observe(self, job: Job, polls: Sequence[QueryOutcome]) -> Job:
        """Raises the alarm if needed. Returns the job with its count of polls in a row that were not
        understood."""
        strange = next((poll for poll in polls if _is_strange(poll)), None)
        if strange is None:
            return replace(job, unknown_status_polls=0) if job.unknown_status_polls else job
        job = replace(job, unknown_status_polls=job.unknown_status_polls + 1)
        snapshot = strange.snapshot if isinstance(strange, Found) else None
        word = snapshot.raw_status if snapshot else NO_STATUS
        error = f"{snapshot.error.code}: {snapshot.error.message}" if snapshot and snapshot.error else ""
        alarming = error or job.unknown_status_polls >= PATIENCE
        if alarming and await self.jobs.note_unknown_status(job, word, error):
            structlog.get_logger().error(
                "status_unknown",
                job=job.id,
                account=job.account,
                word=word,
                error=error,
                polls=job.unknown_status_polls,
            )
        return job


def _is_strange(poll: QueryOutcome) -> bool:
    if isinstance(poll, Found):
        return not poll.snapshot.understood
    return isinstance(poll, Inconclusive) and poll.unreadable
