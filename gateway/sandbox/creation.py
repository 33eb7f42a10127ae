"""The paid POST of both dialects: read, check, apply faults, create, charge, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response

from gateway.sandbox.accounts import MAIN
from gateway.sandbox.answers import json
from gateway.sandbox.checks import BODY_LIMIT, TaskSpec
from gateway.sandbox.faults import CALLBACK_FAULTS, HIDING, REFUSING, Fault
from gateway.sandbox.ledger import token_of
from gateway.sandbox.refusals import RequestRefused
from gateway.sandbox.server import TruncatedResponse, drop_connection, reset_connection
from gateway.sandbox.service import Sandbox
from gateway.sandbox.tasks import Task
from gateway.sandbox.wire_formats import WireFormat

_SMALL_BODY = 64 * 1024


@dataclass(slots=True)
class _Post:
    """One POST, as the ledger records it. `last_byte_ns` stays None until the body is complete."""

    sandbox: Sandbox
    request: Request
    wire: WireFormat
    account: str | None
    first_byte_ns: int
    last_byte_ns: int | None = None
    body: bytes = b""

    def record_answer(self, reply: int | None, task: Task | None = None) -> None:
        """`reply`: the HTTP status; None if no complete answer is sent."""
        self.sandbox.ledger.post(
            self.body,
            dialect=self.wire.name,
            is_authorized=self.account is not None,
            first_byte_ns=self.first_byte_ns,
            last_byte_ns=self.last_byte_ns,
            reply=reply,
            task_id=task.id if task else None,
            charged=task.cost if task else None,
            account=self.account,
        )

    def record_fault(self, fault: Fault, spec: TaskSpec | None = None, task: Task | None = None) -> None:
        self.sandbox.ledger.fault(
            fault,
            task_id=task.id if task else None,
            payload=spec.payload if spec else None,
            callback_token=token_of(spec.callback_url) if spec else None,
        )


async def create(wire: WireFormat, request: Request) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    post = _Post(sandbox, request, wire, account_of(request, wire), sandbox.ledger.now_ns())
    if early := sandbox.faults.early() or sandbox.random_faults.early():
        post.record_fault(early)
        post.record_answer(None)
        return reset_connection(request)
    if not await _read(post):
        post.record_answer(None)
        return Response(status_code=400)  # the client is gone and will not read it
    try:
        spec = await _checked(post)
        faults = sandbox.random_faults.due() | sandbox.faults.due(spec.prompt)
        if refused := sandbox.accounts.refusing.get(post.account or ""):
            faults[refused.name] = refused
    except RequestRefused as refused:
        post.record_answer(refused.status)
        return wire.refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    refusing = next((faults[name] for name in REFUSING if name in faults), None)
    return _refused(post, spec, refusing) if refusing else await _created(post, spec, faults)


def account_of(request: Request, wire: WireFormat) -> str | None:
    sandbox: Sandbox = request.app.state.sandbox
    return sandbox.accounts.of(request.headers.get("authorization", ""), wire.scheme)


def check_key(request: Request, wire: WireFormat) -> str:
    """The account of the key. RequestRefused for an unknown key."""
    account = account_of(request, wire)
    if account is None:
        raise RequestRefused("Unauthorized", "the API key is missing or not valid", 401)
    return account


async def _read(post: _Post) -> bool:
    """Whether the complete body arrived, or as much of it as exceeds the limit."""
    body = bytearray()
    try:
        async for chunk in post.request.stream():
            body += chunk
            if len(body) > BODY_LIMIT:
                break
    except ClientDisconnect:
        post.body = bytes(body)
        return False
    post.body, post.last_byte_ns = bytes(body), post.sandbox.ledger.now_ns()
    return True


async def _checked(post: _Post) -> TaskSpec:
    """RequestRefused for a body that breaks a limit."""
    size, read_spec = len(post.body), post.wire.read_spec
    if size > BODY_LIMIT:
        raise RequestRefused("BadRequest", f"the body is larger than {BODY_LIMIT} bytes", 413)
    check_key(post.request, post.wire)
    return await asyncio.to_thread(read_spec, post.body) if size > _SMALL_BODY else read_spec(post.body)


def _refused(post: _Post, spec: TaskSpec, fault: Fault) -> Response:
    """Applies a fault that creates nothing."""
    post.record_fault(fault, spec)
    if fault.name in ("drop", "reset_early"):
        post.record_answer(None)
        return (drop_connection if fault.name == "drop" else reset_connection)(post.request)
    answer = post.wire.refusal_by(fault, post.sandbox.new_request_id())
    post.record_answer(answer.status_code)
    return answer


async def _created(post: _Post, spec: TaskSpec, faults: Mapping[str, Fault]) -> Response:
    """Creates and charges the task. The faults decide what the client sees of it."""
    sandbox = post.sandbox
    base_url = str(post.request.base_url).rstrip("/")
    task = sandbox.create(spec, base_url, faults, post.wire.name, post.account or MAIN)
    hiding = next((faults[name] for name in HIDING if name in faults), None)
    post.record_answer(_status_of(hiding), task)
    for fault in faults.values():
        if fault is hiding or (fault.name not in HIDING and fault.name not in CALLBACK_FAULTS):
            post.record_fault(fault, spec, task)
    answer = post.wire.created(task)
    is_instant = "instant" in faults
    sandbox.runner.start(task, at_once=is_instant or "early_callback" in faults)
    if is_instant or "early_callback" in faults:
        await task.ended.wait()
    if "early_callback" in faults:
        await sandbox.callbacks.wait_for(task)
    if "slow" in faults:
        await asyncio.sleep(faults["slow"].number())
    if is_instant:
        answer = post.wire.created(task)
    return _hidden(post, hiding, answer) if hiding else json(answer)


def _status_of(hiding: Fault | None) -> int | None:
    if hiding is None or hiding.name == "no_id_after":
        return 200
    if hiding.name.endswith("_after"):
        return int(hiding.name.removesuffix("_after"))
    return None if hiding.name == "drop_after_accept" else 200


def _hidden(post: _Post, fault: Fault, answer: dict[str, object]) -> Response:
    match fault.name:
        case "drop_after_accept":
            return drop_connection(post.request)
        case "truncated":
            return TruncatedResponse(orjson.dumps(answer), media_type="application/json")
        case "garbage":
            noise = b"\xff" + post.sandbox.environment.entropy(255)
            return Response(noise, media_type="application/json")
        case "not_json":
            return HTMLResponse("<!doctype html><title>One moment</title><p>Checking your connection.")
        case "no_id_after":
            return json({name: value for name, value in answer.items() if name != post.wire.id_field})
        case _:
            return post.wire.refusal_by(fault, post.sandbox.new_request_id())
