"""Receives callbacks from the upstream: verify the token without Redis, store the callback durably, answer.

The body of a callback is only a hint: before a job is settled, the upstream itself is polled. A callback with
a valid token is also evidence that a task exists for that submission, whatever its body says.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import Response

from gateway.callbacks import records, reports, return_address, tokens
from gateway.callbacks import signature as callback_signature
from gateway.callbacks.return_address import ReturnAddress
from gateway.callbacks.signature import Signature, SignatureStatus
from gateway.callbacks.tokens import CallbackRef
from gateway.errors import NotFound, StoreUnavailable, Unauthenticated
from gateway.settings import Settings
from gateway.store.base import Callback
from gateway.upstream.base import Hint, TaskStatus
from gateway.urls import MEDIA_TOKEN
from gateway.web.http import bodies
from gateway.web.http.answers import json_answer
from gateway.web.http.problems import Refusal
from gateway.web.schemas.jobs import Received
from gateway.web.state import State, state_of

_MAX_BODY_BYTES: Final = 256 * 1024
_MAX_RAW_BYTES: Final = 64 * 1024
#: For callbacks from a doubtful sender: enough to recognize them, too little to fill the quarantine.
_MAX_DISTRUSTED_BYTES: Final = 2 * 1024
_BODY_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 5
_MEDIA_TOKEN: Final = re.compile(MEDIA_TOKEN.pattern.encode())
_FINAL: Final = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELED)


async def receive(request: Request) -> Response:
    """200 once the callback is stored durably. A bad token gets the same 404 always, without reading the body
    or Redis."""
    state = state_of(request)
    token: str = request.path_params["token"]
    ref = tokens.verify(state.resources.keyring, token)
    if ref is None:
        raise _forged(state)
    refused: Refusal | None = None
    body = b""
    try:
        body = await bodies.read(request, _MAX_BODY_BYTES, _BODY_SECONDS)
    except Refusal as refusal:
        refused = refusal
    signature = _signature(state, request, token, ref)
    distrust = _distrust(state.resources.settings, signature)
    raw = _MEDIA_TOKEN.sub(b"[token]", body.replace(token.encode(), b"[token]"))[:_MAX_RAW_BYTES]
    tracer = state.resources.tracer
    trace = await state.resources.jobs.trace_of(ref.job_id) if tracer.on else None
    with tracer.span("callback", trace, {"job": ref.job_id, "tenant": ref.tenant}):
        if distrust is None:
            to = _return_address(state, request, ref)
            await _keep(state, _read(state, ref, body, raw, signature, to))
        else:
            await _keep_distrusted(state, ref, raw[:_MAX_DISTRUSTED_BYTES], distrust)
    strict = state.resources.settings.callback_signature == "required"
    if strict and distrust is not None and distrust is not SignatureStatus.STALE:
        raise Unauthenticated("this callback is not signed as it must be")
    if refused is not None:
        raise refused
    received: Received = {"received": True}
    return json_answer(received)


async def probe(request: Request) -> Response:
    """204 to a probe that the service sent to itself by the public callback URL."""
    state = state_of(request)
    minute = int(state.resources.environment.clock() // 60)
    if not tokens.verify_probe(state.resources.keyring, request.path_params["token"], minute):
        raise _forged(state)
    await state.resources.jobs.note_callback_path()
    return Response(status_code=204)


def _forged(state: State) -> NotFound:
    state.request_counts.add_callback("forged")
    return NotFound("callback", "of this address")


def _signature(state: State, request: Request, token: str, ref: CallbackRef) -> Signature | None:
    """None if signatures are not checked."""
    settings = state.resources.settings
    if settings.callback_signature == "off":
        return None
    key = settings.callback_signature_key or settings.account_key(ref.account)
    return callback_signature.verify(
        key.get_secret_value().encode(),
        request.method,
        f"{urlsplit(settings.public_url).path}/callbacks/{token}",
        request.scope["query_string"].decode("latin-1"),
        request.scope["headers"],
        state.resources.environment.clock(),
    )


def _distrust(settings: Settings, signature: Signature | None) -> SignatureStatus | None:
    """Why the signature is not trusted; None if it is valid or not required."""
    if signature is None or signature.status is SignatureStatus.VALID:
        return None
    if signature.status is SignatureStatus.ABSENT and settings.callback_signature == "optional":
        return None
    return signature.status


def _return_address(state: State, request: Request, ref: CallbackRef) -> ReturnAddress | None:
    sealed = request.query_params.get(return_address.PARAMETER)
    return return_address.unseal(state.resources.keyring, ref.kid, ref.job_id, sealed) if sealed else None


def _read(
    state: State,
    ref: CallbackRef,
    body: bytes,
    raw: bytes,
    signature: Signature | None,
    to: ReturnAddress | None,
) -> Callback:
    hint = state.dialect.read_callback(body)
    # An incomplete body may be sent again with the same nonce, and must then be accepted.
    unread = hint == Hint()
    return Callback(
        ref.job_id,
        ref.tenant,
        ref.epoch,
        label="foreign" if hint.foreign else hint.status or "unclear",
        task_id=None if hint.foreign else hint.task_id,
        terminal=hint.status in _FINAL,
        working=hint.status is TaskStatus.IN_PROGRESS,
        claimed=reports.read(state.resources.settings, hint.snapshot),
        raw=raw if unread else b"",
        nonce=signature.nonce if signature and not unread else None,
        account=ref.account,
        callback_url=to.callback_url if to else None,
        door=to.door if to else None,
    )


async def _keep_distrusted(state: State, ref: CallbackRef, raw: bytes, status: SignatureStatus) -> None:
    structlog.get_logger().warning(
        "callback_distrusted", job=ref.job_id, tenant=ref.tenant, epoch=ref.epoch, reason=status
    )
    submission = ref.job_id, ref.tenant, ref.epoch
    distrusted = Callback(*submission, "distrusted", distrusted=True, raw=raw, account=ref.account)
    await _keep(state, distrusted)


async def _keep(state: State, callback: Callback) -> None:
    """Store the callback in Redis, or in the journal while Redis is down. Unavailable if neither works."""
    try:
        effect = await state.resources.jobs.callback(callback)
    except StoreUnavailable as error:
        if state.journal is None:
            error.retry_after_seconds = _RETRY_SECONDS
            raise
        await state.journal.append(callback)
        state.request_counts.add_callback("journaled")
        return
    state.request_counts.add_callback(effect)
    records.warn_if_unexpected(callback, effect)
