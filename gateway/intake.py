"""Accepts a job: everything is checked before anything is stored, and one durable step stores it.

Data flow: raw body -> `check` (all problems at once) -> `accept`: stores inline media in the blob store, then
one script claims the idempotency key, writes the job, queues it, and dispatches it if a slot is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final, NamedTuple

import orjson

from gateway import generation, long_base64
from gateway.environment import Environment
from gateway.errors import (
    BodyTooLarge,
    InvalidRequest,
    LimitReached,
    MediaStoreUnavailable,
    Notice,
    Problem,
)
from gateway.generation import GenerationRequest, Limits, inspection
from gateway.generation.media import InlineMedia
from gateway.generation.turns import Turns
from gateway.jobs import Deadlines, Job, Priority
from gateway.lifecycle import JOB_STARTS, JobEvent, OnUnknown
from gateway.local.shared_memory import Held, Shared
from gateway.media.inline import InlineFiles
from gateway.store.base import Admission, AdmissionLimits, Allowance, JobStore, QueuePosition

#: The upstream's limit for a body, in bytes. Our own fields around the parameters count too.
UPSTREAM_BODY_BYTES: Final = 20_000_000
_ENVELOPE_BYTES: Final = 4096
#: A larger body is checked in a thread.
_LARGE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Checked:
    """A request that passed all checks. `media`: the files inside it. `fingerprint`: None unless it was asked
    for."""

    request: GenerationRequest
    media: Sequence[InlineMedia]
    notices: Sequence[Notice]
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What a client can set beside the request itself, with Gateway-* headers.

    Seconds count from acceptance; None: the default of the service. `trace`: the client's traceparent.
    """

    start_seconds: int | None = None
    total_seconds: int | None = None
    on_unknown: OnUnknown | None = None
    priority: Priority = Priority.NORMAL
    trace: str | None = None


class Posted(NamedTuple):
    """The job of a POST. `replayed`: it is an earlier job, because the idempotency key was used before with
    the same body."""

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
    blobs: InlineFiles
    limits: Limits
    environment: Environment
    admission: AdmissionLimits
    deadlines: Deadlines = Deadlines()  # noqa: RUF009  # frozen
    inspections: Turns = field(default_factory=lambda: inspections(Shared().held))
    large_bodies: Turns = field(default_factory=_large_bodies)

    async def check(self, raw: bytes, tenant: str, keyed: JobOptions | None = None) -> Checked:
        """Checks a body of `tenant` and stores nothing. `keyed`: the options of a job that will be accepted
        with an idempotency key; its fingerprint is made here, where a large body has its turn. Raises
        MalformedBody, InvalidRequest, BodyTooLarge, LimitReached, Unavailable."""
        if len(raw) <= _LARGE_BYTES:
            checked = _check(raw, self.limits, keyed)
        else:  # it takes long, and other requests must not wait for it
            async with self.large_bodies.turn(tenant):
                checked = await asyncio.to_thread(_check, raw, self.limits, keyed)
        if any(file.needs_inspection for file in checked.media):
            async with self.inspections.turn(tenant):
                problems = await inspection.inspect(checked.media)
            if problems:
                raise InvalidRequest(problems)
        return checked

    async def accept(
        self,
        checked: Checked,
        tenant: str,
        idempotency_key: str | None,
        options: JobOptions = JobOptions(),  # frozen
    ) -> Posted:
        """Stores the job, or finds the earlier one of this key. Also returns its queue position. `options`:
        the same as in `check`, if they were given there; `trace` may differ.

        Raises IdempotencyMismatch, LimitReached, RateLimited, Unavailable. After StoreUnavailable the job may
        or may not be accepted; a repeated request with the same key finds out.
        """
        job = self._new_job(checked, tenant, idempotency_key, options)
        fingerprint = checked.fingerprint or _fingerprint(checked.request, options) if idempotency_key else ""
        if checked.media:
            # Asked before the files are written: a tenant cannot fill the disk with jobs that are refused.
            known = await self._store(job, checked, fingerprint, check_only=True)
            if known.replayed:
                return await self._replayed(job, known)
            job = replace(job, params=await self._keep_media(job.id, checked))
        try:
            accepted = await self._store(job, checked, fingerprint)
        except (InvalidRequest, LimitReached):  # certainly not stored, unlike after StoreUnavailable
            await self._drop_media(job.id, checked)
            raise
        if not accepted.replayed:
            return Posted(job, False, accepted.queue_position, accepted.allowance)
        await self._drop_media(job.id, checked)
        return await self._replayed(job, accepted)

    def _new_job(
        self, checked: Checked, tenant: str, idempotency_key: str | None, options: JobOptions
    ) -> Job:
        """The job as it will be stored, but for its inline media."""
        now, payload = self.environment.now_ms(), checked.request.payload
        start_by, end_by = self._deadlines(checked.request, options)
        return Job(
            id=self.environment.new_job_id(),
            tenant=tenant,
            state=JOB_STARTS[JobEvent.ACCEPTED],
            model=checked.request.model,
            params={} if checked.media else generation.upstream_params(checked.request),
            created_at=now,
            start_by=now + start_by,
            end_by=now + end_by,
            on_unknown=options.on_unknown,
            priority=options.priority,
            trace=options.trace,
            callback_url=checked.request.callback_url,
            warnings=[
                {"param": notice.param, "code": notice.code, "message": notice.message}
                for notice in checked.notices
            ],
            idempotency=_key_digest(idempotency_key),
            payload_characters=None if payload is None else len(payload),
        )

    async def _store(
        self, job: Job, checked: Checked, fingerprint: str, *, check_only: bool = False
    ) -> Admission:
        return await self.jobs.accept(
            job,
            checked.request.payload,
            fingerprint,
            self.admission,
            media=sum(len(file.raw) for file in checked.media),
            check_only=check_only,
        )

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
            name = await self.blobs.put(job_id, raw, extension)
            await self.environment.reach("blob_put.after")
            return name

        try:
            return await generation.detach_media(checked.request, put)
        except BaseException:  # also a client that went away: the first of two files must not stay
            with contextlib.suppress(MediaStoreUnavailable):
                await self.blobs.drop(job_id)
            raise

    async def _drop_media(self, job_id: str, checked: Checked) -> None:
        """Deletes the files of a job that was not stored."""
        if checked.media:
            await self.blobs.drop(job_id)


def _check(raw: bytes, limits: Limits, keyed: JobOptions | None) -> Checked:
    request, notices = _parse(raw, limits)
    fingerprint = None if keyed is None else _fingerprint(request, keyed)
    return Checked(request, request.inline_media, notices, fingerprint)


def _parse(raw: bytes, limits: Limits) -> tuple[GenerationRequest, Sequence[Notice]]:
    request, notices = generation.parse(raw, limits)
    if len(raw) > UPSTREAM_BODY_BYTES - _ENVELOPE_BYTES:
        _check_upstream_size(request)
    return request, notices


def _check_upstream_size(request: GenerationRequest) -> None:
    size = len(orjson.dumps(generation.upstream_params(request))) + _ENVELOPE_BYTES
    if size > UPSTREAM_BODY_BYTES:
        message = f"the upstream accepts at most {UPSTREAM_BODY_BYTES} bytes, and this body would have {size}"
        raise BodyTooLarge([Problem("", "body_too_large", f"{message}; send large media as URLs instead")])


def _fingerprint(request: GenerationRequest, options: JobOptions) -> str:
    """A digest that is equal for requests with the same meaning. The form of the JSON does not matter, and
    seed 0 and an empty list of videos count as absent."""
    given = request.model_dump(exclude_unset=True)
    for name in ("seed", "videos"):
        if not given.get(name):
            given.pop(name, None)
    asked = asdict(options)
    del asked["trace"]  # a repeated request has another span
    if any(value != getattr(JobOptions(), name) for name, value in asked.items()):
        given["options"] = asked
    digest = hashlib.sha256()
    for piece in long_base64.dump(given):
        digest.update(piece)
    return digest.hexdigest()


def _key_digest(key: str | None) -> str | None:
    """The idempotency key as it is stored in Redis: a digest has a fixed length, whatever was sent."""
    return None if key is None else hashlib.sha256(key.encode()).hexdigest()
