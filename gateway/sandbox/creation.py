"""The paid POST of either dialect: read, check, strike, create, charge, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response

from gateway.sandbox.accounts import MAIN
from gateway.sandbox.answers import json
from gateway.sandbox.checks import BODY_LIMIT, Order
from gateway.sandbox.faults import CALLING, HIDING, REFUSING, Fault
from gateway.sandbox.ledger import token_of
from gateway.sandbox.refusals import Refused
from gateway.sandbox.server import CutShort, drop_connection, reset_connection
from gateway.sandbox.service import Sandbox
from gateway.sandbox.tasks import Task
from gateway.sandbox.wires import Wire

_SMALL_BODY = 64 * 1024


@dataclass(slots=True)
class _Visit:
    """One POST as the ledger will have it. `last_byte_ns` stays None until the body is whole."""

    sandbox: Sandbox
    request: Request
    wire: Wire
    account: str | None
    first_byte_ns: int
    last_byte_ns: int | None = None
    body: bytes = b""

    def record(self, reply: int | None, task: Task | None = None) -> None:
        """`reply`: the HTTP status, None when none is sent whole."""
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

    def strike(self, fault: Fault, order: Order | None = None, task: Task | None = None) -> None:
        self.sandbox.ledger.fault(
            fault,
            task_id=task.id if task else None,
            payload=order.payload if order else None,
            callback_token=token_of(order.callback_url) if order else None,
        )


async def create(wire: Wire, request: Request) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    visit = _Visit(sandbox, request, wire, account_of(request, wire), sandbox.ledger.now_ns())
    if early := sandbox.faults.early() or sandbox.chances.early():
        visit.strike(early)
        visit.record(None)
        return reset_connection(request)
    if not await _read(visit):
        visit.record(None)
        return Response(status_code=400)  # nobody is there to read it
    try:
        order = await _checked(visit)
        faults = sandbox.chances.due() | sandbox.faults.due(order.prompt)
        if refused := sandbox.accounts.refusing.get(visit.account or ""):
            faults[refused.name] = refused
    except Refused as refused:
        visit.record(refused.status)
        return wire.refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    refusing = next((faults[name] for name in REFUSING if name in faults), None)
    return _refused(visit, order, refusing) if refusing else await _created(visit, order, faults)


def account_of(request: Request, wire: Wire) -> str | None:
    sandbox: Sandbox = request.app.state.sandbox
    return sandbox.accounts.of(request.headers.get("authorization", ""), wire.scheme)


def check_key(request: Request, wire: Wire) -> str:
    """The account whose key it is. Raises Refused."""
    account = account_of(request, wire)
    if account is None:
        raise Refused("Unauthorized", "the API key is missing or not valid", 401)
    return account


async def _read(visit: _Visit) -> bool:
    """Whether all of the body came (or so much that it is over the limit)."""
    body = bytearray()
    try:
        async for chunk in visit.request.stream():
            body += chunk
            if len(body) > BODY_LIMIT:
                break
    except ClientDisconnect:
        visit.body = bytes(body)
        return False
    visit.body, visit.last_byte_ns = bytes(body), visit.sandbox.ledger.now_ns()
    return True


async def _checked(visit: _Visit) -> Order:
    """Raises Refused."""
    size, read_order = len(visit.body), visit.wire.read_order
    if size > BODY_LIMIT:
        raise Refused("BadRequest", f"the body is larger than {BODY_LIMIT} bytes", 413)
    check_key(visit.request, visit.wire)
    return await asyncio.to_thread(read_order, visit.body) if size > _SMALL_BODY else read_order(visit.body)


def _refused(visit: _Visit, order: Order, fault: Fault) -> Response:
    """A fault that creates nothing."""
    visit.strike(fault, order)
    if fault.name in ("drop", "reset_early"):
        visit.record(None)
        return (drop_connection if fault.name == "drop" else reset_connection)(visit.request)
    answer = visit.wire.refusal_by(fault, visit.sandbox.new_request_id())
    visit.record(answer.status_code)
    return answer


async def _created(visit: _Visit, order: Order, faults: Mapping[str, Fault]) -> Response:
    """From here on the task is charged, whatever the caller gets to see."""
    sandbox = visit.sandbox
    base_url = str(visit.request.base_url).rstrip("/")
    task = sandbox.create(order, base_url, faults, visit.wire.name, visit.account or MAIN)
    hiding = next((faults[name] for name in HIDING if name in faults), None)
    visit.record(_status_of(hiding), task)
    for fault in faults.values():
        if fault is hiding or (fault.name not in HIDING and fault.name not in CALLING):
            visit.strike(fault, order, task)
    answer = visit.wire.created(task)
    is_instant = "instant" in faults
    sandbox.studio.begin(task, at_once=is_instant or "early_callback" in faults)
    if is_instant or "early_callback" in faults:
        await task.ended.wait()
    if "early_callback" in faults:
        await sandbox.caller.told(task)
    if "slow" in faults:
        await asyncio.sleep(faults["slow"].number())
    if is_instant:
        answer = visit.wire.created(task)
    return _hidden(visit, hiding, answer) if hiding else json(answer)


def _status_of(hiding: Fault | None) -> int | None:
    if hiding is None or hiding.name == "no_id_after":
        return 200
    if hiding.name.endswith("_after"):
        return int(hiding.name.removesuffix("_after"))
    return None if hiding.name == "drop_after_accept" else 200


def _hidden(visit: _Visit, fault: Fault, answer: dict[str, object]) -> Response:
    match fault.name:
        case "drop_after_accept":
            return drop_connection(visit.request)
        case "truncated":
            return CutShort(orjson.dumps(answer), media_type="application/json")
        case "garbage":
            noise = b"\xff" + visit.sandbox.environment.entropy(255)
            return Response(noise, media_type="application/json")
        case "not_json":
            return HTMLResponse("<!doctype html><title>One moment</title><p>Checking your connection.")
        case "no_id_after":
            return json({name: value for name, value in answer.items() if name != visit.wire.id_field})
        case _:
            return visit.wire.refusal_by(fault, visit.sandbox.new_request_id())
