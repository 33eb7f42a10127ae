"""Turns one upstream outcome into one final event, after a poll, a trusted callback, a refusal or a deadline.

The transition to the final state, the event with its frozen bytes and the deliveries are one durable step.
Settling a finished job again changes nothing. A job that we gave up may still get a result: that is a
separate event, and the state stays. Each task that the upstream is known to have charged is charged in the
same step; what is not known to be unpaid stays in suspense.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import orjson
import structlog

from gateway import assets, events
from gateway.assets import Asset, AssetState, Variant
from gateway.dispatch import Ticket
from gateway.doors import DOORS
from gateway.doors.base import Link, no_link
from gateway.environment import Environment
from gateway.errors import MediaStoreUnavailable
from gateway.jobs import Job, rfc3339
from gateway.lifecycle import JobEvent, JobState, job_transitions
from gateway.media.inline import InlineFiles
from gateway.money.prices import CURRENCY
from gateway.money.shares import suspense_at_end
from gateway.money.told import CostReader
from gateway.store.asset_effects import CopyAssets
from gateway.store.base import JobStore, Outcome, TransitionResult
from gateway.store.effect_base import Effect
from gateway.store.effects import (
    AddLateResult,
    ChooseTask,
    EndHoldAfter,
    Finish,
    LearnDuration,
    OweEvent,
    RecordHistory,
    SetFields,
    Tally,
    UnsetFields,
)
from gateway.store.money_effects import Charge
from gateway.store.transitions import Guard, Transition
from gateway.upstream.base import Snapshot, TaskStatus, UpstreamError

_DROP_SECONDS: Final = 2.0


def unpaid(job: Job) -> bool:
    """Whether the newest submission has certainly cost nothing. The store checks the same again during the
    transition, and the transition fences a worker that is about to release the job."""
    return job.state is JobState.QUEUED or (job.state is JobState.SUBMITTING and job.released_at is None)


@dataclass(frozen=True, slots=True)
class Mirroring:
    """How results are copied. `life_ms`: how long the upstream's addresses are taken to live. `covers`:
    whether a worker can make a cover from a video that comes without one."""

    life_ms: int
    covers: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """`late_watch_ms`: how long we watch for a late result after giving a job up; 0: not at all. `link`: the
    addresses of results, for callback URLs of jobs that came through a door. `client_url`: the base URL of
    the gateway for clients, for the addresses in events; `currency`: of the costs in them. `mirroring`: None
    if results are not copied. `costs`: reads what the upstream says that a task cost. `charged` of its
    methods: the tasks that the upstream certainly charged, by id."""

    jobs: JobStore
    blobs: InlineFiles
    environment: Environment
    late_watch_ms: int = 86_400_000
    link: Link = no_link
    client_url: str = ""
    currency: str = CURRENCY
    mirroring: Mirroring | None = None
    costs: CostReader = CostReader()  # noqa: RUF009  # frozen

    async def succeed(
        self,
        job: Job,
        snapshot: Snapshot,
        done: Sequence[Ticket],
        tally: Sequence[str] = (),
        charged: Mapping[str, Snapshot] = MappingProxyType({}),
    ) -> TransitionResult:
        """The upstream completed the video. `done`: the tickets that are finished with it."""
        assert snapshot.status is TaskStatus.COMPLETED
        fields: dict[str, object] = {
            "output": snapshot.output,
            "usage": snapshot.usage,
            "metadata": snapshot.metadata,
            "warnings": _warnings(job, snapshot),
        }
        effects: list[Effect] = [Finish(done)]
        if copies := self._copies(snapshot):
            effects.append(CopyAssets(copies))
        if snapshot.task_id:
            effects.append(ChooseTask(snapshot.task_id))
        if (took_ms := self._took_ms(job)) is not None:
            effects.append(LearnDuration(took_ms))
        succeeded = Transition(JobEvent.UPSTREAM_SUCCEEDED, effects=effects)
        return await self._settle(job, succeeded, fields, tally, charged)

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
        also: Sequence[Effect] = (),
        charged: Mapping[str, Snapshot] = MappingProxyType({}),
    ) -> TransitionResult:
        """The upstream refused or failed, or a deadline passed: `event` says which. `by`: an operator's key.
        `slot_ms`: how long the submit slot stays taken, if it is not among `done`. `also`: more effects."""
        fields: dict[str, Any] = {"error": {"code": error.code, "error_message": error.message}}
        fields["usage"] = usage
        # We gave it up; or it was sent again, so that an earlier submission may have been paid for.
        if (event is JobEvent.DEADLINE_PASSED or job.resubmits) and self.late_watch_ms:
            fields["watch_until"] = self.environment.now_ms() + self.late_watch_ms
        effects: list[Effect] = [Finish(done), RecordHistory(by=by), *also]
        if slot_ms is not None:
            effects.append(EndHoldAfter(slot_ms))
        if event is not JobEvent.UPSTREAM_REJECTED:
            return await self._settle(job, Transition(event, effects=effects), fields, tally, charged)
        # The answer proves that there is no task, although the last byte was sent. A callback may disprove
        # it.
        unproven = Guard.same_claim(job).without("evidence")
        denied = Transition(event, unproven, [*effects, UnsetFields(["released_at"])])
        return await self._settle(replace(job, released_at=None), denied, fields, tally)

    async def cancel(self, job: Job, done: Sequence[Ticket], also: Sequence[Effect] = ()) -> TransitionResult:
        """The job was canceled before anything was paid. `also`: more effects."""
        canceled = Transition(JobEvent.CANCEL_REQUESTED, effects=[Finish(done), *also])
        return await self._settle(job, canceled, {})

    async def canceled_upstream(
        self,
        job: Job,
        snapshot: Snapshot,
        done: Sequence[Ticket],
        charged: Mapping[str, Snapshot] = MappingProxyType({}),
    ) -> TransitionResult:
        """The upstream stopped the task at the owner's request."""
        fields: dict[str, object] = {"usage": snapshot.usage, "metadata": snapshot.metadata}
        canceled = Transition(JobEvent.UPSTREAM_CANCELED, effects=[Finish(done)])
        return await self._settle(job, canceled, fields, charged=charged)

    async def charge(
        self, job: Job, charged: Mapping[str, Snapshot], refunded: Collection[str] = ()
    ) -> TransitionResult:
        """The job is final, and only now it is known what these tasks cost. `refunded`: they cost nothing."""
        costs, tally = self._costs_of(charged)
        costs = {**costs, **dict.fromkeys(refunded, 0)}
        known = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[Charge(costs), Tally(tally)])
        return await self.jobs.apply(job, known)

    async def late(
        self, job: Job, snapshot: Snapshot, charged: Mapping[str, Snapshot] = MappingProxyType({})
    ) -> TransitionResult:
        """The task of a job that we gave up was completed. Stores the late result and creates its event,
        once. The state stays. A door has no word for it, so the callback URL of a job that came through one
        hears nothing more."""
        now = self.environment.now_ms()
        result = {
            "at": rfc3339(now),
            "task_id": snapshot.task_id,
            "output": snapshot.output,
            "usage": snapshot.usage,
            "metadata": snapshot.metadata,
        }
        fields: dict[str, Any] = {"late": result, "warnings": _warnings(job, snapshot)}
        copies = self._copies(snapshot)
        costs, tally = self._costs_of(charged)
        after = replace(job, **_present(fields), assets=copies, **_paid(job, costs))
        event = events.make_late(after, await self.jobs.payload(job), now, self.client_url, self.currency)
        callback_url = None if job.door in DOORS else job.callback_url
        effects: list[Effect] = [AddLateResult(fields, event, callback_url)]
        effects += [CopyAssets(copies)] if copies else []
        effects += [Charge(costs), Tally(["late_results|told", *tally])]
        return await self.jobs.apply(job, Transition(JobEvent.LATE_SUCCESS, effects=effects))

    def _costs_of(self, charged: Mapping[str, Snapshot]) -> tuple[dict[str, int | None], list[str]]:
        """What each task cost, None for the estimate; and what is unusual, to be counted."""
        told = {task: self.costs.read(one.usage, one.metadata) for task, one in charged.items()}
        unusual = ["currency_mismatch|tasks"] * sum(one.mismatch for one in told.values())
        return {task: one.amount for task, one in told.items()}, unusual

    def _copies(self, snapshot: Snapshot) -> dict[Variant, Asset]:
        """The files of the result, all to be copied; none if results are not copied."""
        if self.mirroring is None:
            return {}
        dies_at = self.environment.now_ms() + self.mirroring.life_ms
        copies = {
            variant: Asset(AssetState.PENDING, url, dies_at)
            for variant, url in assets.addresses(snapshot.output).items()
        }
        if copies and self.mirroring.covers:
            copies.setdefault(Variant.COVER, Asset(AssetState.PENDING))
        return copies

    async def _settle(
        self,
        job: Job,
        ending: Transition,
        fields: dict[str, Any],
        tally: Sequence[str] = (),
        charged: Mapping[str, Snapshot] = MappingProxyType({}),
    ) -> TransitionResult:
        """Applies `ending` with what every final transition needs: fields, time, event, and a guard that
        nothing changed in the meantime. `tally`: counted only if this finishes the job."""
        assert isinstance(ending.event, JobEvent)
        target = job_transitions(ending.event).get(job.state, job.state)
        finished_at = max(self.environment.now_ms(), job.created_at)
        costs, unusual = self._costs_of(charged)
        effects: list[Effect] = [SetFields({**fields, "finished_at": finished_at})]
        effects += [Charge(costs)] if costs else []
        if target is not job.state:
            copying = ending.find(CopyAssets)
            copies = dict(copying.assets) if copying else {}
            after = replace(job, state=target, finished_at=finished_at, assets=copies, **_present(fields))
            after = replace(after, **_paid(job, costs))
            payload = await self.jobs.payload(job)
            event = events.make(after, payload, self.client_url, self.currency)
            effects.append(OweEvent(event, job.callback_url, self._told(after, event, payload)))
            effects.append(Tally([f"jobs_finished|{target}", *tally, *unusual]))
        # The event's bytes were made from this state: if it has changed, they are wrong.
        guard = ending.guard & Guard.same_state(job)
        unset = ending.find(UnsetFields)
        if job.state is JobState.SUBMITTING and (unset is None or "released_at" not in unset.fields):
            guard = guard & Guard.same_release(job)
        result = await self.jobs.apply(job, ending.guarded(guard).also(*effects))
        if result.outcome is Outcome.MOVED and job.keeps_media:
            await self._drop_media(job)
        return result

    def _told(self, job: Job, event: events.Event, payload: str | None) -> events.Event | None:
        """The event for the job's own callback URL, in the words of its door; None: as everybody gets it."""
        if job.callback_url is None or job.door is None or job.door not in DOORS:
            return None
        body = DOORS[job.door].event(job, events.short_enough(payload), self.link)
        return events.in_words_of(job.door, event, orjson.dumps(body))

    async def _drop_media(self, job: Job) -> None:
        await self.environment.reach("blob_drop.before")
        try:
            async with asyncio.timeout(_DROP_SECONDS):  # a disk that hangs must not stop the sweep
                await self.blobs.drop(job.id)
        except (MediaStoreUnavailable, TimeoutError) as error:
            # the job is settled anyway, and the sweep removes the files
            structlog.get_logger().warning("media_left_behind", job=job.id, reason=str(error))

    def _took_ms(self, job: Job) -> int | None:
        """How long the upstream took, for the mean duration; None when that is not known."""
        if job.submitted_at is None or job.earlier:
            return None
        if job.called_back_at is not None:
            return max(job.called_back_at - job.submitted_at, 1)
        # If the first poll finds it finished, it may have taken less. Without the share the mean would never
        # fall.
        share = 1.0 if job.polls else 0.9
        return max(int((self.environment.now_ms() - job.submitted_at) * share), 1)


def _warnings(job: Job, snapshot: Snapshot) -> list[dict[str, str]] | None:
    """The job's warnings with those about the result; None if there are none about it."""
    about = [asdict(warning) for warning in snapshot.warnings]
    return [*job.warnings, *about] if about else None


def _paid(job: Job, costs: Mapping[str, int | None]) -> dict[str, Any]:
    """The fields of money of a job that becomes final, or is, when these tasks are charged."""
    if job.charge_basis == "operator":
        return {}
    known = [cost for one in costs.values() if (cost := job.estimate if one is None else one) is not None]
    doubtful = len(set(job.tasks) - set(costs)) if job.tasks else int(job.evidence is not None)
    sent = job.final or (job.released_at is not None and job.epoch != job.sent_again)
    held, share = job.reserved + job.suspense, job.estimate or 0
    left = suspense_at_end(held, share, charged=len(known), doubtful=doubtful, sent=sent)
    basis = "estimate" if None in costs.values() else "upstream"
    charge = {"charged": (job.charged or 0) + sum(known), "charge_basis": basis} if known else {}
    return {"reserved": 0, "suspense": left, **charge}


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
