"""One submission: claim the job, send it past the gate, record the outcome. Why it is paid at most once:

* `claim` moves the job from queued to submitting under a new epoch. Only one worker can do that.
* The worker sends everything but the last byte of the request. Then `release` records durably, and only if
  this epoch still holds the job, that money may be spent from now on. Only then is the last byte sent.
* A worker that dies before `release` costs nothing: its lease runs out and the job is queued again. If it
  dies later, the submission is released, and the sweep moves the job to unknown.
* A released job is sent again only with proof that it is unpaid: the answer to this submission says that
  there is no task (429, or the account refused), and no callback contradicts it. Without proof it is sent
  again only if its owner (`resubmit`, within a count and a budget) or an operator chooses so.
* A worker that is asked to stop gives up submissions that are not released, and finishes the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from gateway.callbacks import return_address, tokens
from gateway.callbacks.return_address import ReturnAddress
from gateway.dispatch import Ticket
from gateway.environment import Environment
from gateway.errors import Fenced, MediaStoreUnavailable, NotFound, StoreUnavailable
from gateway.jobs import Job, confirm_ticket
from gateway.keyring import Keyring
from gateway.media.inline import InlineFiles
from gateway.settings import Settings
from gateway.settlement import Settlement
from gateway.store.base import JobStore
from gateway.telemetry.tracing import NO_TRACER, Attributes, Tracer
from gateway.upstream.base import Rejected, SubmitOutcome, Upstream, UpstreamError, reason_of
from workers.leases import renewed
from workers.media import JobMedia, UploadUnreachable
from workers.release_gate import ReleaseGate
from workers.submission_outcomes import OutcomeRecorder

_MEDIA_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Submitter:
    """`upstreams`: by account. `stopping`: set when the process must end soon."""

    jobs: JobStore
    settlement: Settlement
    upstreams: Mapping[str, Upstream]
    inline_files: InlineFiles
    keyring: Keyring
    environment: Environment
    settings: Settings
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    tracer: Tracer = NO_TRACER

    async def submit(self, ticket: Ticket) -> None:
        job = await self.jobs.claim(ticket, self.environment.entropy(8).hex())
        if job is None:
            await self._let_go(ticket)
            return
        about: Attributes = {"job": job.id, "tenant": job.tenant, "epoch": job.epoch}
        if job.epoch == 1:
            self.tracer.add_finished("queue", job.trace, about, job.created_at, self.environment.now_ms())
        with self.tracer.span("submit", job.trace, about):
            await self._submit(job, ticket)

    async def _submit(self, job: Job, ticket: Ticket) -> None:
        if job.cancel_wished_at is not None:  # requested during a submission that proved to be unpaid
            await self.settlement.cancel(job, [ticket, confirm_ticket(job)])
            return
        try:
            async with renewed(self.jobs, ticket, self.settings.lease_seconds):
                outcome = await self._attempt(job)
        except (Fenced, StoreUnavailable, MediaStoreUnavailable) as error:
            structlog.get_logger().warning(
                "submission_held_back", job=job.id, tenant=job.tenant, epoch=job.epoch, reason=str(error)
            )
            # Redis was away, but is back when this is recorded.
            at_once = self.stopping.is_set() or isinstance(error, StoreUnavailable)
            await self.recorder.give_up(job, str(error), at_once=at_once)
            return
        result = await self.recorder.record(job, outcome, ticket)
        structlog.get_logger().info(
            "submitted",
            job=job.id,
            tenant=job.tenant,
            epoch=job.epoch,
            outcome=type(outcome).__name__.lower(),
            became=result.after,
            reason=reason_of(outcome),
        )

    async def _attempt(self, job: Job) -> SubmitOutcome:
        """The upstream's answer to one submission. Raises Fenced, StoreUnavailable or MediaStoreUnavailable
        when the request was never sent completely."""
        try:
            async with asyncio.timeout(_MEDIA_SECONDS):
                params = await self._media.attached(job)
        except NotFound:
            structlog.get_logger().error("media_lost", job=job.id, tenant=job.tenant)
            lost = UpstreamError("media_lost", "a file of the request is missing from the media store")
            return Rejected(lost)
        except UploadUnreachable:
            unreachable = "an upload is too large to be sent inside the body; set GATEWAY_PUBLIC_URL again"
            return Rejected(UpstreamError("upload_unreachable", unreachable))
        except TimeoutError:
            raise MediaStoreUnavailable("the media store is too slow") from None
        upstream = self.upstreams.get(job.account)
        if upstream is None:  # a process with other settings dispatched it
            raise Fenced(f"this worker knows no account {job.account}")
        token = tokens.make(self.keyring, job.tenant, job.id, job.epoch, job.account)
        gate = ReleaseGate(self.jobs, self.environment, job)
        sending = upstream.submit(
            params,
            model=job.model,
            callback_url=self._callback_url(job, token),
            reference=token,
            gate=gate,
        )
        return await self._sent(sending, gate)

    def _callback_url(self, job: Job, token: str) -> str | None:
        """Where the upstream reports on this submission; None without callbacks."""
        if not self.settings.public_url:
            return None
        url = f"{self.settings.public_url}/callbacks/{token}"
        if job.callback_url is None:
            return url
        to = return_address.seal(self.keyring, job.id, ReturnAddress(job.callback_url, job.door))
        return url if to is None else f"{url}?{return_address.PARAMETER}={to}"

    async def _let_go(self, ticket: Ticket) -> None:
        """Gives back the slot only if the job no longer needs it: another run of this ticket may hold it."""
        job = await self.jobs.read(ticket.name)
        if job is None or job.final:
            await self.jobs.drop(ticket)

    async def _sent(self, sending: Coroutine[Any, Any, SubmitOutcome], gate: ReleaseGate) -> SubmitOutcome:
        """The upstream's answer. Fenced when the process must stop and the last byte was not sent yet."""
        submission = asyncio.create_task(sending)
        stop = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait([submission, stop], return_when=asyncio.FIRST_COMPLETED)
            if not submission.done() and gate.close():
                submission.cancel()
                await asyncio.wait([submission])
                raise Fenced("the worker was asked to stop")
            return await submission
        finally:
            stop.cancel()
            if not submission.done():
                submission.cancel()

    @property
    def _media(self) -> JobMedia:
        return JobMedia(self.inline_files, self.settings.media_links(), self.environment, self.settings)

    @property
    def recorder(self) -> OutcomeRecorder:
        """Records the outcomes of submissions."""
        several = len(self.upstreams) > 1
        return OutcomeRecorder(self.jobs, self.settlement, self.environment, self.settings, several)
