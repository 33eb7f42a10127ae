"""Accepts a job: everything is checked before anything is stored, and one durable step stores it.

Data flow: raw body -> `check` (all problems at once) -> `accept`: stores inline media in the blob store, then
one script takes the idempotency key, writes the job, queues it, and dispatches it if a slot is free.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from gateway import generation
from gateway.doors import HEARD
from gateway.environment import Environment
from gateway.errors import (
    InvalidRequest,
    LimitReached,
    MediaStoreUnavailable,
    NotFound,
    PaymentRefused,
)
from gateway.generation import GenerationRequest, Limits, inspection
from gateway.generation.fingerprint import digest_of_key, fingerprint_of
from gateway.generation.media import unknown_upload
from gateway.generation.turns import Turns
from gateway.intake.checks import Checked, Read, check
from gateway.intake.job_options import NO_OPTIONS, JobOptions
from gateway.jobs import Deadlines, Job, born_at
from gateway.lifecycle import JOB_STARTS, JobEvent
from gateway.local.shared_memory import Held, Shared
from gateway.media.inline import InlineFiles
from gateway.money.prices import CurrentPrices, Estimate
from gateway.store.attempt import Attempt
from gateway.store.base import Admission, AdmissionLimits, Allowance, JobStore, QueuePosition
from gateway.uploads.use import UsesOfUploads

#: A larger body is checked in a thread.
_LARGE_BYTES: Final = 256 * 1024


class ClientGone(Exception):
    """The client left before its job was stored; nothing stays."""


class Posted(NamedTuple):
    """The job of a POST. `replayed`: it is an earlier job, because the idempotency key was used before with
    the same body, or because an earlier attempt of the request made it."""

    job: Job
    replayed: bool
    position: QueuePosition | None = None
    allowance: Allowance | None = None


def inspections(held: Held) -> Turns:
    """Turns of inspections: each is a process of its own, and a hostile file keeps it busy for 5 s."""
    return Turns("the inspection of media", "inspections", 2, of_tenant=1, waiting=8, seconds=30, held=held)


def _large_bodies() -> Turns:
    """Turns of large bodies. There is one place, because threads take the interpreter from each other. The
    memory for bodies bounds how many wait."""
    return Turns("the check of a large body", "large_bodies", places=1, of_tenant=1, waiting=1000, seconds=30)


@dataclass(frozen=True, slots=True)
class Intake:
    jobs: JobStore
    inline_files: InlineFiles
    limits: Limits
    environment: Environment
    admission: AdmissionLimits
    deadlines: Deadlines = Deadlines()  # noqa: RUF009  # frozen
    inspections: Turns = field(default_factory=lambda: inspections(Shared().held))
    large_bodies: Turns = field(default_factory=_large_bodies)
    uploads: UsesOfUploads = UsesOfUploads()  # noqa: RUF009  # frozen
    prices: CurrentPrices = field(default_factory=CurrentPrices)
    dialect: str = ""

    async def check(
        self, raw: bytes, tenant: str, keyed: JobOptions | None = None, read: Read = generation.from_json
    ) -> Checked:
        """Checks a body of `tenant` and stores nothing. `keyed`: the options of a job that will be accepted
        with an idempotency key; its fingerprint is made here, where a large body has its turn. `read`: turns
        a body of another API into a document of ours. Raises MalformedBody, InvalidRequest, BodyTooLarge,
        LimitReached, Unavailable."""
        if len(raw) <= _LARGE_BYTES:
            checked = check(raw, self.limits, keyed, read)
        else:  # it takes long, and other requests must not wait for it
            async with self.large_bodies.turn(tenant):
                checked = await asyncio.to_thread(check, raw, self.limits, keyed, read)
        if any(file.needs_inspection for file in checked.media):
            async with self.inspections.turn(tenant):
                problems = await inspection.inspect(checked.media)
            if problems:
                raise InvalidRequest(problems)
        if not checked.request.uploads:
            return checked
        found = await self.uploads.find(checked.request, tenant, self.environment.now_ms())
        if found.problems and keyed is None:
            raise InvalidRequest(found.problems)
        notices = [*checked.notices, *found.notices]
        return replace(checked, uploads=found.uploads, notices=notices, refusal=found.problems)

    async def accept(
        self,
        checked: Checked,
        tenant: str,
        idempotency_key: str | None,
        options: JobOptions = NO_OPTIONS,
        key: str | None = None,
        is_gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> Posted:
        """Stores the job, or finds that of this key or an earlier attempt. Also returns its queue position.
        `options`: the same as in `check`, if they were given there; `trace` may differ. `key`: the id of the
        client key. `is_gone`: asked last; a client that has left may have sent its next attempt already.

        Raises ClientGone, IdempotencyMismatch, LimitReached, PaymentRefused, Unavailable. After
        StoreUnavailable the job may or may not be accepted; a repeated request with the same key finds out.
        """
        job = self._new_job(checked, tenant, idempotency_key, options, key)
        keyed = idempotency_key is not None or options.attempt is not None
        fingerprint = checked.fingerprint or fingerprint_of(checked.request, options.meaning) if keyed else ""
        attempt = None
        if idempotency_key is None and options.attempt is not None:
            attempt = Attempt.of(options.door, fingerprint, options.attempt)
        if checked.media or checked.refusal:
            # Asked before the files are written: a tenant cannot fill the disk with jobs that are refused.
            known = await self._store(job, checked, fingerprint, attempt, check_only=True)
            if known.replayed:
                return await self._replayed(job, known)
            if checked.refusal:
                raise InvalidRequest(checked.refusal)
            job = replace(job, params=await self._keep_media(job.id, checked))
        try:
            if is_gone is not None and await is_gone():
                raise ClientGone
            accepted = await self._store(job, checked, fingerprint, attempt)
        except (ClientGone, InvalidRequest, LimitReached, PaymentRefused):  # certainly not stored
            await self._drop_media(job.id, checked)
            raise
        if not accepted.replayed:
            return Posted(job, False, accepted.queue_position, accepted.allowance)
        await self._drop_media(job.id, checked)
        return await self._replayed(job, accepted)

    def estimate(self, checked: Checked) -> Estimate | None:
        """What one submission of the job would cost now; None if no price is known."""
        request, now = checked.request, self.environment.now_ms()
        return self.prices.estimate(self.dialect, request.model, generation.upstream_params(request), now)

    def _new_job(
        self,
        checked: Checked,
        tenant: str,
        idempotency_key: str | None,
        options: JobOptions,
        key: str | None,
    ) -> Job:
        """The job as it will be stored, but for its inline media."""
        job_id, payload = self.environment.new_job_id(), checked.request.payload
        now = born_at(job_id)  # exactly: lists are ordered by the id, and filtered by time
        cost = self.estimate(checked)
        start_by, end_by = self._deadlines(checked.request, options)
        return Job(
            id=job_id,
            tenant=tenant,
            state=JOB_STARTS[JobEvent.ACCEPTED],
            model=checked.request.model,
            params={} if checked.media else generation.refer(checked.request, checked.references),
            created_at=now,
            start_by=now + start_by,
            end_by=now + end_by,
            on_unknown=options.on_unknown,
            priority=options.priority,
            trace=options.trace,
            door=options.door,
            callback_url=checked.request.callback_url,
            callback_events=_heard(checked.request, options),
            warnings=[
                {"param": notice.param, "code": notice.code, "message": notice.message}
                for notice in checked.notices
            ],
            idempotency=digest_of_key(idempotency_key),
            payload_characters=None if payload is None else len(payload),
            inline_bytes={file.param: len(file.raw) for file in checked.media},
            uploads=list(dict.fromkeys(upload.id for upload in checked.uploads.values())),
            key=key,
            estimate=cost.amount if cost else None,
            upper_bound=cost is not None and cost.upper_bound,
            priced=cost.priced if cost else None,
        )

    async def _store(
        self,
        job: Job,
        checked: Checked,
        fingerprint: str,
        attempt: Attempt | None,
        *,
        check_only: bool = False,
    ) -> Admission:
        if checked.refusal:  # only whether it is a repeated request
            job = replace(job, uploads=[])
        try:
            return await self.jobs.accept(
                job,
                checked.request.payload,
                fingerprint,
                self.admission,
                media=sum(len(file.raw) for file in checked.media),
                check_only=check_only,
                attempt=attempt,
            )
        except NotFound as gone:  # an upload that was there a moment ago
            uses = [use.param for use in checked.request.uploads if use.upload_id == gone.name]
            raise InvalidRequest([unknown_upload(param) for param in uses]) from gone

    async def _replayed(self, job: Job, accepted: Admission) -> Posted:
        earlier = await self.jobs.read(accepted.job_id) or replace(job, id=accepted.job_id)
        [position] = await self.jobs.queue_positions([earlier])
        return Posted(earlier, True, position)

    def _deadlines(self, request: GenerationRequest, options: JobOptions) -> tuple[int, int]:
        """In ms from now: the deadline for the submission, and that for the whole job."""
        slow = self.deadlines.off_peak_seconds if request.off_peak else 0
        total = options.total_seconds or self.deadlines.total_seconds + slow
        start = min(options.start_seconds or self.deadlines.start_seconds, total)
        return int(start * 1000), int(total * 1000)

    async def _keep_media(self, job_id: str, checked: Checked) -> dict[str, object]:
        """Stores the files durably. Returns the parameters with a reference to each."""

        async def put(raw: bytes, extension: str) -> str:
            await self.environment.reach("blob_put.before")
            name = await self.inline_files.put(job_id, raw, extension)
            await self.environment.reach("blob_put.after")
            return name

        try:
            return await generation.detach_media(checked.request, put, checked.references)
        except BaseException:  # also a client that went away: the first of two files must not stay
            with contextlib.suppress(MediaStoreUnavailable):
                await self.inline_files.drop(job_id)
            raise

    async def _drop_media(self, job_id: str, checked: Checked) -> None:
        """Deletes the files of a job that was not stored. What stays, because the media store is away, is
        removed by the sweep: it must not change the answer."""
        if checked.media:
            with contextlib.suppress(MediaStoreUnavailable):
                await self.inline_files.drop(job_id)


def _heard(request: GenerationRequest, options: JobOptions) -> list[str]:
    """The types of events that the job's callback URL hears, as they are stored."""
    if request.callback_url is None:
        return []
    return [*(options.callback_events or HEARD.get(options.door or "", ()))]
