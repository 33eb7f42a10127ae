"""The vidu dialect's routes for one task, and its credits."""

from __future__ import annotations

import re
from decimal import Decimal

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.sandbox.answers import json
from gateway.sandbox.creation import account_of, check_key
from gateway.sandbox.prices import credits_of
from gateway.sandbox.refusals import Refused
from gateway.sandbox.service import Sandbox
from gateway.sandbox.tasks import Task
from gateway.sandbox.vidu_answers import refusal, vidu_body
from gateway.sandbox.wires import VIDU

_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_CREDITS_AT_THE_START = 1_000_000
_MANY = 10_000  # what an account without a limit shows


async def creations(request: Request) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    task_id = request.path_params["task_id"]
    try:
        task = _seen(request, task_id)
    except Refused as refused:
        sandbox.ledger.write("get", **_asked(request), reply=refused.status, status=None)
        return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    sandbox.ledger.write("get", **_asked(request), reply=200, status=task.state)
    return json(vidu_body(task))


async def cancel(request: Request) -> Response:
    """{} when the task was stopped and refunded: only as long as nobody works on it."""
    sandbox: Sandbox = request.app.state.sandbox
    task_id, body = request.path_params["task_id"], await request.body()
    try:
        task = _seen(request, task_id)
        _check_names(body, task_id)
        if not sandbox.cancel(task):
            raise Refused("BadRequest", "task state is scheduled, can not cancel")
    except Refused as refused:
        sandbox.ledger.write("cancel", **_asked(request), reply=refused.status)
        return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    sandbox.ledger.write("cancel", **_asked(request), reply=200)
    return json({})


async def credits_left(request: Request) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    try:
        account = check_key(request, VIDU)
    except Refused as refused:
        return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    ours = [task for task in sandbox.tasks.values() if (task.dialect, task.account) == ("vidu", account)]
    spent = sum((Decimal(task.cost) for task in ours if not task.is_refunded), Decimal(0))
    limit = sandbox.options.concurrency
    remains = {
        "type": "metered",
        "credit_remain": _CREDITS_AT_THE_START - credits_of(str(spent)),
        "concurrency_limit": _MANY if limit is None else limit,
        "current_concurrency": sum(task.state == "processing" for task in ours),
        "queue_count": sum(task.state == "queueing" for task in ours),
    }
    return json({"remains": [remains], "packages": []})


def _asked(request: Request) -> dict[str, str | None]:
    task_id: str = request.path_params["task_id"]
    return {"dialect": "vidu", "account": account_of(request, VIDU), "task_id": task_id}


def _seen(request: Request, task_id: str) -> Task:
    """Raises Refused: for what is no number even before the key is looked at, as the real one does."""
    sandbox: Sandbox = request.app.state.sandbox
    if not _NUMBER.fullmatch(task_id):
        raise Refused("CODEC", f"id is not a number: {task_id[:60]!r}")
    task = sandbox.look(task_id, "vidu", check_key(request, VIDU))
    if task is None:
        raise Refused("TaskNotFound", "no such task", 404)
    return task


def _check_names(body: bytes, task_id: str) -> None:
    """The body repeats the id of the path."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if document != {"id": task_id}:
        raise Refused("BadRequest", 'the body must be {"id": ID}, with the id of the address')
