"""Accepting a job: everything is checked before anything is kept, and one durable step keeps it.

Data flow: raw body -> `check` (all problems at once) -> `accept`: inline media to the blob store, then
one script that claims the idempotency key, writes the job, queues it and dispatches it when there is room.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway import clips, generation
from gateway.blobs import BlobStore
from gateway.environment import Environment
from gateway.errors import InvalidRequest, LimitReached
from gateway.generation import GenerationRequest, Limits, Notice
from gateway.jobs import Job
from gateway.lifecycle import JobState
from gateway.media import InlineMedia
from gateway.store.base import JobStore


@dataclass(frozen=True, slots=True)
class Checked:
    """A request that may be accepted. `media`: the files inside it. `fingerprint`: the same for the same
    body, to the byte."""

    request: GenerationRequest
    media: Sequence[InlineMedia]
    notices: Sequence[Notice]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Intake:
    jobs: JobStore
    blobs: BlobStore
    limits: Limits
    environment: Environment
    queue_max: int

    async def check(self, raw: bytes) -> Checked:
        """Raises MalformedBody or InvalidRequest; costs and keeps nothing."""
        request, notices = generation.parse(raw, self.limits)
        media = request.inline_media
        if any(file.param.startswith("videos") for file in media):
            problems = await clips.inspect_clips(media)
            if problems:
                raise InvalidRequest(problems)
        return Checked(request, media, notices, hashlib.sha256(raw).hexdigest())

    async def accept(self, checked: Checked, tenant: str, idempotency_key: str | None) -> tuple[Job, bool]:
        """The job, and whether it is an earlier one (the key was used before with this body).

        Raises IdempotencyMismatch, LimitReached, Unavailable. After StoreUnavailable it is not known
        whether the job was accepted; asking again with the same key finds out.
        """
        job_id = self.environment.new_job_id()
        inline, payload = bool(checked.media), checked.request.payload
        try:
            params = await self._stored_params(job_id, checked)
            job = Job(
                id=job_id,
                tenant=tenant,
                state=JobState.QUEUED,
                model=checked.request.model,
                params=params,
                created_at=self.environment.now_ms(),
                callback_url=checked.request.callback_url,
                warnings=[
                    {"param": notice.param, "code": notice.code, "message": notice.message}
                    for notice in checked.notices
                ],
                idempotency=_claim(idempotency_key),
                payload_characters=None if payload is None else len(payload),
            )
            accepted = await self.jobs.accept(job, payload, checked.fingerprint, queue_max=self.queue_max)
        except (InvalidRequest, LimitReached):  # certainly not kept; after StoreUnavailable it may have been
            if inline:
                await self.blobs.drop(job_id)
            raise
        if not accepted.replayed:
            return job, False
        if inline:
            await self.blobs.drop(job_id)
        return await self.jobs.read(accepted.job_id) or replace(job, id=accepted.job_id), True

    async def _stored_params(self, job_id: str, checked: Checked) -> dict[str, object]:
        if not checked.media:
            return generation.upstream_params(checked.request)

        async def put(raw: bytes, extension: str) -> str:
            return await self.blobs.put(job_id, raw, extension)

        return await generation.detach_media(checked.request, put)


def _claim(key: str | None) -> str | None:
    """A client's key as it stands in Redis: of fixed length, whatever was sent."""
    return None if key is None else hashlib.sha256(key.encode()).hexdigest()
