"""Callbacks from the upstream: verified without Redis, kept by one durable step, answered.

A callback's body is a hint and never more: who settles the job asks the upstream itself. That a callback
with a valid token came at all is evidence too: a task exists for that submission, whatever the body says.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from gateway import callback_tokens
from gateway.callback_tokens import CallbackRef
from gateway.errors import NotFound, StoreUnavailable
from gateway.jobs import Job
from gateway.lifecycle import JobEvent, JobState
from gateway.store.base import Move, Outcome
from gateway.upstream.base import Hint, TaskStatus
from gateway.web import bodies
from gateway.web.answers import json_answer
from gateway.web.problems import Refusal
from gateway.web.state import State, state_of

_MAX_BODY_BYTES: Final = 256 * 1024
_BODY_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 5
_USELESS: Final = (Outcome.MISSING, Outcome.FENCED, Outcome.REFUSED)


async def receive(request: Request) -> Response:
    """200 once the callback is durable. A bad token is a uniform 404, its body unread and Redis unasked."""
    state = state_of(request)
    ref = callback_tokens.verify(state.resources.keyring, request.path_params["token"])
    if ref is None:
        state.traffic.callbacks["forged"] += 1
        raise NotFound("callback", "of this address")
    refused: Refusal | None = None
    try:
        hint = state.dialect.read_callback(await bodies.read(request, _MAX_BODY_BYTES, _BODY_SECONDS))
    except Refusal as refusal:
        refused, hint = refusal, Hint()
    await _keep(state, ref, hint)
    if refused is not None:
        raise refused
    return json_answer({"received": True})


async def _keep(state: State, ref: CallbackRef, hint: Hint) -> None:
    # All that `apply` needs of the job is in the token: nothing is read before it.
    job = Job(ref.job_id, ref.tenant, JobState.SUBMITTED, "", {}, 0, epoch=ref.epoch)
    try:
        answer = await state.resources.jobs.apply(job, _move(state, ref, hint))
    except StoreUnavailable as error:
        error.retry_after_seconds = _RETRY_SECONDS
        raise
    state.traffic.callbacks[answer.outcome] += 1
    if answer.outcome in _USELESS:
        structlog.get_logger().warning(
            "callback_without_effect",
            job=ref.job_id,
            tenant=ref.tenant,
            epoch=ref.epoch,
            task=hint.task_id,
            reason=answer.outcome,
        )


def _move(state: State, ref: CallbackRef, hint: Hint) -> Move:
    working = hint.status is TaskStatus.IN_PROGRESS
    common: dict[str, Any] = {"expect": {"epoch": ref.epoch}, "tally": [f"callbacks|{_class(hint)}"]}
    if hint.task_id is None or hint.foreign:
        return Move(JobEvent.CALLBACK_SEEN, poll_in_ms=None if working else 0, **common)
    # The submission's own answer may never come, so that its slot and its first poll are seen to here.
    first_poll_ms = int(state.resources.settings.poll_first_seconds * 1000)
    return Move(
        JobEvent.UPSTREAM_ACCEPTED,
        once={"task_id": hint.task_id},
        poll_in_ms=first_poll_ms if working else 0,
        hold_ms=-1,
        **common,
    )


def _class(hint: Hint) -> str:
    if hint.foreign:
        return "foreign"
    return hint.status or "unclear"
