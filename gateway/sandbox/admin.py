"""For tests and demos: read the ledger and the tasks, order faults. Not protected: keep it internal."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.sandbox.answers import envelope, json, refusal
from gateway.sandbox.faults import KNOWN, parse
from gateway.sandbox.refusals import Refused
from gateway.sandbox.service import Sandbox
from gateway.sandbox.tasks import Task


async def ledger(request: Request) -> Response:
    """?kind= and ?task= narrow it."""
    sandbox: Sandbox = request.app.state.sandbox
    query = request.query_params
    return json(await asyncio.to_thread(sandbox.ledger.read, query.get("kind"), query.get("task")))


async def tasks(request: Request) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    return json([_summary(sandbox, task) for task in sandbox.tasks.values()])


def _summary(sandbox: Sandbox, task: Task) -> dict[str, Any]:
    return envelope(task, sandbox.studio.progress(task)) | {
        "dialect": task.dialect,
        "state": task.state,
        "charged": task.cost,
        "refunded": task.cost if task.is_refunded else None,
        "payload": task.order.payload,
        "callback_url": task.order.callback_url,
        "faults": sorted(task.faults),
        "polls": task.polls,
    }


async def faults(request: Request) -> Response:
    """POST {"fault": "429", "count": 3} strikes the next three creations; "slow=2" carries a value."""
    sandbox: Sandbox = request.app.state.sandbox
    if request.method == "DELETE":
        sandbox.faults.clear()
    elif request.method == "POST":
        try:
            _queue(sandbox, await request.body())
        except Refused as refused:
            return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    return json({"queued": sandbox.faults.queued(), "known": KNOWN})


def _queue(sandbox: Sandbox, body: bytes) -> None:
    wish = _document(body)
    if not isinstance(wish, dict) or not isinstance(wish.get("fault"), str):
        raise Refused("BadRequest", 'send {"fault": NAME, "count": N}')
    count = wish.get("count", 1)
    if type(count) is not int or count < 1:
        raise Refused("FieldInvalid", "count must be an integer of at least 1")
    sandbox.faults.queue(parse(wish["fault"]), count)


async def chances(request: Request) -> Response:
    """POST {"lost_callback": 0.3, "slow=2": 0.1, "seed": 7}: from now on every creation draws for each."""
    sandbox: Sandbox = request.app.state.sandbox
    if request.method == "DELETE":
        sandbox.chances.clear()
    elif request.method == "POST":
        try:
            wish = _document(await request.body())
            if not isinstance(wish, dict):
                raise Refused("BadRequest", 'send {NAME: CHANCE, ..., "seed": N}')
            sandbox.chances.set(wish, int.from_bytes(sandbox.environment.entropy(4), "big"))
        except Refused as refused:
            return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    return json(sandbox.chances.shown() | {"known": KNOWN})


async def accounts(request: Request) -> Response:
    """POST {"account": "second", "refuse": "402"}: every creation with its key, until refuse is null."""
    sandbox: Sandbox = request.app.state.sandbox
    if request.method == "POST":
        try:
            wish = _document(await request.body())
            if not isinstance(wish, dict):
                raise Refused("BadRequest", 'send {"account": NAME, "refuse": FAULT or null}')
            sandbox.accounts.refuse(wish.get("account"), wish.get("refuse"))
        except Refused as refused:
            return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    return json({"accounts": sandbox.accounts.shown()})


def _document(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


ROUTES = [
    Route("/admin/ledger", ledger),
    Route("/admin/tasks", tasks),
    Route("/admin/faults", faults, methods=["GET", "POST", "DELETE"]),
    Route("/admin/accounts", accounts, methods=["GET", "POST"]),
    Route("/admin/chances", chances, methods=["GET", "POST", "DELETE"]),
]
