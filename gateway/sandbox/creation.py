"""POST /model/v1/generation: read, check, strike, create, charge, answer."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response

from gateway.sandbox.answers import envelope, json, refusal, refusal_by
from gateway.sandbox.checks import BODY_LIMIT, Order, read_order
from gateway.sandbox.faults import Fault
from gateway.sandbox.refusals import Refused
from gateway.sandbox.server import drop_connection
from gateway.sandbox.service import Sandbox
from gateway.sandbox.tasks import Task

_SMALL_BODY = 64 * 1024


async def create(request: Request) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    body, is_complete = await _read(request)
    if not is_complete:
        sandbox.ledger.post(body, reply=None, complete=False)
        return Response(status_code=400)  # nobody is there to read it
    try:
        if len(body) > BODY_LIMIT:
            raise Refused("BadRequest", f"the body is larger than {BODY_LIMIT} bytes", 413)
        check_key(request)
        order = await asyncio.to_thread(read_order, body) if len(body) > _SMALL_BODY else read_order(body)
        faults = sandbox.faults.due(order.prompt)
    except Refused as refused:
        sandbox.ledger.post(body, reply=refused.status)
        return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    for fault in faults.values():
        sandbox.ledger.write("fault", fault=fault.name, value=fault.value)
    return _refused_by(request, body, faults) or await _created(request, body, order, faults)


def check_key(request: Request) -> None:
    """Bearer only. Raises Refused."""
    sandbox: Sandbox = request.app.state.sandbox
    expected = f"Bearer {sandbox.options.key}".encode()
    if not hmac.compare_digest(request.headers.get("authorization", "").encode("latin-1"), expected):
        raise Refused("Unauthorized", "the API key is missing or not valid", 401)


async def _read(request: Request) -> tuple[bytes, bool]:
    """What came of the body (at most a little over the limit), and whether that is all of it."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_LIMIT:
                break
    except ClientDisconnect:
        return bytes(body), False
    return bytes(body), True


def _refused_by(request: Request, body: bytes, faults: Mapping[str, Fault]) -> Response | None:
    """A fault that creates nothing."""
    sandbox: Sandbox = request.app.state.sandbox
    if "drop" in faults:
        sandbox.ledger.post(body, reply=None)
        return drop_connection(request)
    for fault in faults.values():
        answer = refusal_by(fault)
        if answer is not None:
            sandbox.ledger.post(body, reply=answer.status_code)
            return answer
    return None


async def _created(request: Request, body: bytes, order: Order, faults: Mapping[str, Fault]) -> Response:
    """From here on the task is charged, whatever the caller gets to see."""
    sandbox: Sandbox = request.app.state.sandbox
    task = sandbox.create(order, str(request.base_url).rstrip("/"), faults)
    is_dropped = "drop_after_accept" in faults
    sandbox.ledger.post(body, reply=None if is_dropped else 200, task_id=task.id, charged=task.cost)
    early = envelope(task, 0.0)
    at_once = "instant" in faults or "early_callback" in faults
    sandbox.studio.begin(task, at_once=at_once)
    if at_once:
        await task.ended.wait()
    if "early_callback" in faults:
        await sandbox.caller.told(task)
    if "slow" in faults:
        await asyncio.sleep(faults["slow"].number())
    if is_dropped:
        return drop_connection(request)
    if "not_json" in faults:
        return HTMLResponse("<!doctype html><title>One moment</title><p>Checking your connection.")
    return json(_first_sight(task, early, faults))


def _first_sight(task: Task, early: dict[str, object], faults: Mapping[str, Fault]) -> dict[str, object]:
    """The creation's answer describes its beginning, unless a terminal answer was asked for."""
    return envelope(task, 1.0) if "instant" in faults else early
