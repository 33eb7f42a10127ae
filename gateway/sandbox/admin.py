"""Admin routes for tests and demos: read the ledger and the tasks, and set faults.

They need `Authorization: Bearer` with the key of the account main, because tasks show callback tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.sandbox.accounts import MAIN
from gateway.sandbox.answers import envelope, json, refusal
from gateway.sandbox.creation import account_of
from gateway.sandbox.faults import KNOWN, parse
from gateway.sandbox.refusals import RequestRefused
from gateway.sandbox.service import Sandbox
from gateway.sandbox.tasks import Task
from gateway.sandbox.wire_formats import VTRIX

Handler = Callable[[Request], Awaitable[Response]]


async def ledger(request: Request) -> Response:
    """The ledger, filtered by `?kind=` and `?task=`."""
    sandbox: Sandbox = request.app.state.sandbox
    query = request.query_params
    return json(await asyncio.to_thread(sandbox.ledger.read, query.get("kind"), query.get("task")))


async def tasks(request: Request) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    return json([_summary(sandbox, task) for task in sandbox.tasks.values()])


def _summary(sandbox: Sandbox, task: Task) -> dict[str, Any]:
    return envelope(task, sandbox.runner.progress(task)) | {
        "dialect": task.dialect,
        "state": task.state,
        "charged": task.cost,
        "refunded": task.cost if task.is_refunded else None,
        "payload": task.spec.payload,
        "callback_url": task.spec.callback_url,
        "faults": sorted(task.faults),
        "polls": task.polls,
    }


async def faults(request: Request) -> Response:
    """POST {"fault": "429", "count": 3} applies to the next three creations. "slow=2" has a value."""
    sandbox: Sandbox = request.app.state.sandbox
    if request.method == "DELETE":
        sandbox.faults.clear()
    elif request.method == "POST":
        try:
            _queue(sandbox, await request.body())
        except RequestRefused as refused:
            return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    return json({"queued": sandbox.faults.queued(), "known": KNOWN})


def _queue(sandbox: Sandbox, body: bytes) -> None:
    wish = _document(body)
    if not isinstance(wish, dict) or not isinstance(wish.get("fault"), str):
        raise RequestRefused("BadRequest", 'send {"fault": NAME, "count": N}')
    count = wish.get("count", 1)
    if type(count) is not int or count < 1:
        raise RequestRefused("FieldInvalid", "count must be an integer of at least 1")
    sandbox.faults.queue(parse(wish["fault"]), count)


async def chances(request: Request) -> Response:
    """POST {"lost_callback": 0.3, "slow=2": 0.1, "seed": 7} sets the chance of each fault for every creation
    from now on."""
    sandbox: Sandbox = request.app.state.sandbox
    if request.method == "DELETE":
        sandbox.random_faults.clear()
    elif request.method == "POST":
        try:
            wish = _document(await request.body())
            if not isinstance(wish, dict):
                raise RequestRefused("BadRequest", 'send {NAME: CHANCE, ..., "seed": N}')
            sandbox.random_faults.set(wish, int.from_bytes(sandbox.environment.entropy(4), "big"))
        except RequestRefused as refused:
            return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    return json(sandbox.random_faults.shown() | {"known": KNOWN})


async def accounts(request: Request) -> Response:
    """POST {"account": "second", "refuse": "402"} refuses every creation of the account, until refuse is
    null."""
    sandbox: Sandbox = request.app.state.sandbox
    if request.method == "POST":
        try:
            wish = _document(await request.body())
            if not isinstance(wish, dict):
                raise RequestRefused("BadRequest", 'send {"account": NAME, "refuse": FAULT or null}')
            sandbox.accounts.refuse(wish.get("account"), wish.get("refuse"))
        except RequestRefused as refused:
            return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    return json({"accounts": sandbox.accounts.shown()})


def _document(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _keyed(handler: Handler) -> Handler:
    """The handler for whoever has the key of the account main; 401 for others."""

    async def answer(request: Request) -> Response:
        sandbox: Sandbox = request.app.state.sandbox
        if account_of(request, VTRIX) != MAIN:
            message = "send Authorization: Bearer with the key of the account main"
            return refusal("Unauthorized", message, 401, sandbox.new_request_id())
        return await handler(request)

    return answer


ROUTES = [
    Route("/admin/ledger", _keyed(ledger)),
    Route("/admin/tasks", _keyed(tasks)),
    Route("/admin/faults", _keyed(faults), methods=["GET", "POST", "DELETE"]),
    Route("/admin/accounts", _keyed(accounts), methods=["GET", "POST"]),
    Route("/admin/chances", _keyed(chances), methods=["GET", "POST", "DELETE"]),
]
