"""Decides about a job whose task is not known: by evidence first, then by its owner's policy.

A late answer or a callback resolves the job elsewhere. This module handles the rest: the upstream's list of
tasks, where there is one, and the end of the grace window. The window only counts time in which callbacks
provably could reach us, because silence is evidence only if we would have heard a callback. The job's total
deadline ends the wait in any case (`sweep`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.dispatch import Ticket
from gateway.environment import Environment
from gateway.jobs import Job, submit_ticket
from gateway.lifecycle import JobEvent, OnUnknown
from gateway.resolution import resubmission, unknown_error
from gateway.settings import Settings
from gateway.settlement import Settlement
from gateway.store.base import JobStore, Outcome
from gateway.store.effects import BindTask, Finish, HoldSlot, PollAfter, Tally
from gateway.store.transitions import Guard, Transition
from gateway.upstream.base import Found, Inconclusive, ListedTask, Upstream
from workers.task_status import is_of

#: The list is read soon, in case the task exists, a few times more in the first minute, and at the end of the
#: window.
_FIRST_LIST_SECONDS: Final = 2.0
_LIST_OFTEN_SECONDS: Final = 60.0
_LIST_MARGIN_MS: Final = 60_000
_CANDIDATES: Final = 20  # tasks without a mark that are polled, at most
_LIST_SECONDS: Final = 60.0
_MANUAL_SECONDS: Final = 3600.0
_TRUST_AGAIN_MS: Final = 1000  # at first, between checks whether a report can be trusted


def grace_seconds(job: Job, settings: Settings) -> float:
    """How long an unknown job waits for evidence. An off-peak task may stay silent for two days."""
    slow = settings.off_peak_deadline_seconds if job.off_peak else 0.0
    return max(settings.unknown_grace_seconds, slow)


def outcome_lost(job: Job, settings: Settings) -> Transition:
    """The transition of a released submission without a clear answer. The job keeps its slot, and a search
    for evidence is due."""
    search_ms = int(min(_FIRST_LIST_SECONDS, grace_seconds(job, settings)) * 1000)
    effects = [HoldSlot(), PollAfter(search_ms), Tally(["submissions|unknown"])]
    return Transition(JobEvent.OUTCOME_LOST, effects=effects)


@dataclass(frozen=True, slots=True)
class EvidenceSeeker:
    jobs: JobStore
    settlement: Settlement
    upstreams: Mapping[str, Upstream]
    environment: Environment
    settings: Settings

    async def seek(self, job: Job, ticket: Ticket) -> None:
        """One search for evidence. `job`: without a task that can be polled. `ticket`: its confirm ticket."""
        listed = await self.find(job, ticket)
        if listed:
            return
        left = await self._grace_left(job)
        if left > 0:
            wait = min(left, self._next_list_seconds(job))
            await self.jobs.postpone(ticket, max(int(wait * 1000), 1), {})
            return
        policy = await self.jobs.on_unknown(job) or self.settings.on_unknown
        if policy is OnUnknown.MANUAL:
            structlog.get_logger().error("unknown_waits_for_operator", job=job.id, tenant=job.tenant)
            await self._wait(job, ticket, _MANUAL_SECONDS)
        elif listed is None:  # never give up, or pay again, before the list was read
            await self._wait(job, ticket, self.settings.poll_max_seconds)
        elif policy is OnUnknown.RESUBMIT and await self._resubmitted(job, ticket):
            return
        else:
            await self._give_up(job, ticket)

    def _next_list_seconds(self, job: Job) -> float:
        """How long to wait before the list is read again. Infinite where there is none, or the minute is
        over."""
        upstream = self.upstreams.get(job.account)
        since = self.environment.clock() - (job.unknown_at or job.created_at) / 1000
        if upstream is None or not upstream.capabilities.listing or since > _LIST_OFTEN_SECONDS:
            return math.inf
        return max(_FIRST_LIST_SECONDS, 2 * since)

    async def report_wait_ms(self, job: Job) -> int:
        """How long to wait before believing a task that only a callback named. Callbacks can be mixed up:
        until then a submission's answer, or another job's callback, may show that the task belongs to another
        job. No wait is needed if it can be nobody else's. Answers still arrive meanwhile, so that is checked
        again, with growing waits."""
        if job.claimed_at is None:
            return 0
        since = self.environment.now_ms() - job.claimed_at
        left = int(self.settings.claim_wait_seconds * 1000) - since
        if left <= 0 or await self.jobs.trust_report(job) or await self._shows_a_mark(job):
            return 0
        return min(left, max(since, _TRUST_AGAIN_MS))

    async def _shows_a_mark(self, job: Job) -> bool:
        """Whether the upstream itself says whose the task is: the job's, or another's (`is_of`)."""
        upstream = self.upstreams.get(job.account_of(job.tasks[0]))
        if upstream is None or not upstream.capabilities.marks or len(job.tasks) > 1:
            return False
        found = await upstream.query(job.tasks[0])
        if not isinstance(found, Found) or found.snapshot.reference is None:
            return False
        return not is_of(job, found.snapshot) or await self.jobs.trust_report(job, marked=True)

    async def _wait(self, job: Job, ticket: Ticket, seconds: float) -> None:
        """Wait beyond the window. Gives back the slot: by now no task can be running for the job, and other
        jobs must not wait for it."""
        done = Finish([submit_ticket(job)])
        await self.jobs.apply(job, Transition(JobEvent.OUTCOME_LOST, Guard.same_state(job), [done]))
        await self.jobs.postpone(ticket, int(seconds * 1000), {})

    async def _grace_left(self, job: Job) -> float:
        """Seconds left of the window. It stands still while callbacks cannot reach us."""
        grace = grace_seconds(job, self.settings)
        began = max(job.unknown_at or 0, job.task_lost_at or 0) or job.submitted_at or job.created_at
        if self.settings.public_url:
            witness = await self.jobs.witness()
            gap = self.settings.callback_gap_seconds
            if witness.since is None or witness.last is None or witness.now - witness.last > gap * 1000:
                return gap / 3
            began = max(began, witness.since)
        return grace - (self.environment.clock() - began / 1000)

    async def _resubmitted(self, job: Job, ticket: Ticket) -> bool:
        """Sends the job again if the limits allow it. False when it must be given up instead."""
        if job.evidence is not None or job.resubmits >= self.settings.resubmit_max:
            return False
        if job.cancel_wished_at is not None:
            return False
        log = structlog.get_logger().bind(job=job.id, tenant=job.tenant, epoch=job.epoch)
        again = resubmission(job, self.environment, day_budget=self.settings.resubmit_day_budget)
        result = await self.jobs.apply(job, again)
        if result.outcome is Outcome.OVER_BUDGET:
            log.warning("resubmit_budget_spent")
            return False
        if result.outcome is Outcome.MOVED:
            log.warning("resubmitted")
        else:  # evidence has just arrived: poll again
            await self.jobs.postpone(ticket, 0, {})
        return True

    async def _give_up(self, job: Job, ticket: Ticket) -> None:
        error = unknown_error(job)
        done = [submit_ticket(job), ticket]
        result = await self.settlement.fail(job, JobEvent.DEADLINE_PASSED, error, done)
        if result.outcome is Outcome.FENCED:
            await self.jobs.postpone(ticket, 0, {})
        else:
            structlog.get_logger().warning("settled", job=job.id, became=result.after, error=error.code)

    async def find(self, job: Job, ticket: Ticket) -> bool | None:
        """Searches the upstream's list for the task of this submission and binds it to the job. None when the
        list cannot be read; False also when the upstream has no list."""
        upstream = self.upstreams.get(job.account)
        if upstream is None:
            structlog.get_logger().error("account_unknown", job=job.id, account=job.account)
            return None
        if not upstream.capabilities.listing:
            return False
        began = job.released_at or job.submitting_at or job.created_at
        since, until = began - _LIST_MARGIN_MS, self.environment.now_ms() + _LIST_MARGIN_MS
        log = structlog.get_logger().bind(job=job.id, tenant=job.tenant)
        try:
            async with asyncio.timeout(_LIST_SECONDS):
                listing = await upstream.list_tasks(since, until)
                found = (
                    listing
                    if isinstance(listing, Inconclusive)
                    else await _marked(upstream, job, listing.tasks)
                )
        except TimeoutError:
            found = Inconclusive("the list took too long")
        if isinstance(found, Inconclusive):
            log.warning("list_unanswered", reason=found.reason)
            return None
        if found is None:
            return False
        task_id, epoch = found
        effects = [BindTask(task_id, epoch=epoch), HoldSlot(), Tally(["submissions|found_listed"])]
        accepted = Transition(JobEvent.UPSTREAM_ACCEPTED, Guard.same_submission(job), effects)
        result = await self.jobs.apply(job, accepted)
        log.info("found_listed", task=task_id, became=result.after)
        await self.jobs.postpone(ticket, 0, {})
        return True


async def _marked(
    upstream: Upstream, job: Job, tasks: list[ListedTask]
) -> tuple[str, int] | Inconclusive | None:
    """The task that carries the mark of one of the job's submissions, and the epoch of that; or None. The
    list may not show marks; a poll of one task does. A prompt alone proves nothing: another job may have the
    same prompt. Inconclusive when not every candidate could be polled."""
    mark = f".{job.id}."
    unmarked = []
    for task in tasks:
        if task.reference is None and task.prompt in (None, job.params.get("prompt")):
            unmarked.append(task.task_id)
        elif task.reference is not None and mark in task.reference:
            return task.task_id, _epoch_in(task.reference, job)
    if len(unmarked) > _CANDIDATES:
        return Inconclusive(f"{len(unmarked)} tasks of the list carry no mark")
    for task_id in unmarked:
        poll = await upstream.query(task_id)
        if isinstance(poll, Inconclusive):
            return poll
        if isinstance(poll, Found) and poll.snapshot.reference and mark in poll.snapshot.reference:
            return task_id, _epoch_in(poll.snapshot.reference, job)
    return None


def _epoch_in(mark: str, job: Job) -> int:
    """The epoch that the job's mark names."""
    epoch = mark.partition(f".{job.id}.")[2].partition(".")[0]
    return int(epoch) if epoch.isdecimal() else job.epoch
