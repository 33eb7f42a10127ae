"""The routes of the vidu dialect for one task, and for credits."""

from __future__ import annotations

import re
from decimal import Decimal

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.sandbox.answers import json
from gateway.sandbox.creation import account_of, check_key
from gateway.sandbox.prices import credits_of
from gateway.sandbox.refusals import RequestRefused
from gateway.sandbox.service import Sandbox
from gateway.sandbox.tasks import Task
from gateway.sandbox.vidu_answers import refusal, vidu_body
from gateway.sandbox.wire_formats import VIDU

_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_INITIAL_CREDITS = 1_000_000
_NO_LIMIT = 10_000  # shown for an account without a concurrency limit


async def creations(request: Request) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    task_id = request.path_params["task_id"]
    try:
        task = _seen(request, task_id)
    except RequestRefused as refused:
        sandbox.ledger.write("get", **_asked(request), reply=refused.status, status=None)
        return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    sandbox.ledger.write("get", **_asked(request), reply=200, status=task.state)
    return json(vidu_body(task))


async def cancel(request: Request) -> Response:
    """{} if the task was stopped and refunded, which is only possible before it starts."""
    sandbox: Sandbox = request.app.state.sandbox
    task_id, body = request.path_params["task_id"], await request.body()
    try:
        task = _seen(request, task_id)
        _check_names(body, task_id)
        if not sandbox.cancel(task):
            raise RequestRefused("BadRequest", "task state is scheduled, can not cancel")
    except RequestRefused as refused:
        sandbox.ledger.write("cancel", **_asked(request), reply=refused.status)
        return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    sandbox.ledger.write("cancel", **_asked(request), reply=200)
    return json({})


async def credits_left(request: Request) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    try:
        account = check_key(request, VIDU)
    except RequestRefused as refused:
        return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    ours = [task for task in sandbox.tasks.values() if (task.dialect, task.account) == ("vidu", account)]
    spent = sum((Decimal(task.cost) for task in ours if not task.is_refunded), Decimal(0))
    limit = sandbox.options.concurrency
    remains = {
        "type": "metered",
        "credit_remain": _INITIAL_CREDITS - credits_of(str(spent)),
        "concurrency_limit": _NO_LIMIT if limit is None else limit,
        "current_concurrency": sum(task.state == "processing" for task in ours),
        "queue_count": sum(task.state == "queueing" for task in ours),
    }
    return json({"remains": [remains], "packages": []})


def _asked(request: Request) -> dict[str, str | None]:
    task_id: str = request.path_params["task_id"]
    return {"dialect": "vidu", "account": account_of(request, VIDU), "task_id": task_id}


def _seen(request: Request, task_id: str) -> Task:
    """The task, after one poll. RequestRefused; like the real upstream, it refuses an id that is not a number
    before it checks the key."""
    sandbox: Sandbox = request.app.state.sandbox
    if not _NUMBER.fullmatch(task_id):
        raise RequestRefused("CODEC", f"id is not a number: {task_id[:60]!r}")
    task = sandbox.poll(task_id, "vidu", check_key(request, VIDU))
    if task is None:
        raise RequestRefused("TaskNotFound", "no such task", 404)
    return task


def _check_names(body: bytes, task_id: str) -> None:
    """The body must repeat the id of the path."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if document != {"id": task_id}:
        raise RequestRefused("BadRequest", 'the body must be {"id": ID}, with the id of the path')
