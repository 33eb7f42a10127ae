"""GET /ent/v2/tasks: the tasks created in a time range, newest first, in pages.

Filters: created_at.from and created_at.to (RFC 3339; default: the last 7 days), states, task_ids and
model_versions (each repeated, or separated by commas). Pages: pager.pagesz and pager.page_token.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from datetime import datetime
from itertools import dropwhile, islice
from typing import get_args

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from gateway.sandbox.answers import json
from gateway.sandbox.creation import account_of, check_key
from gateway.sandbox.refusals import RequestRefused
from gateway.sandbox.service import Sandbox
from gateway.sandbox.tasks import State, Task
from gateway.sandbox.vidu_answers import listed_body, refusal
from gateway.sandbox.wire_formats import VIDU

_WINDOW_SECONDS = 7 * 24 * 3600.0
_PAGE_SIZES = range(10, 101)
_VERSION = "q2-pro"
_STATES = frozenset(get_args(State))
_FILTERS = frozenset({"states", "task_ids", "model_versions"})
_ONCE = frozenset({"created_at.from", "created_at.to", "pager.pagesz", "pager.page_token"})


async def tasks(request: Request) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    account = account_of(request, VIDU)
    try:
        found, token = _page(sandbox, request.query_params, check_key(request, VIDU))
    except RequestRefused as refused:
        sandbox.ledger.write("list", dialect="vidu", account=account, reply=refused.status, task_ids=None)
        return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    shown = [task.id for task in found]
    sandbox.ledger.write("list", dialect="vidu", account=account, reply=200, task_ids=shown)
    rows = [listed_body(task, with_payload=sandbox.options.list_payload) for task in found]
    return json({"next_page_token": token, "tasks": rows})


def _page(sandbox: Sandbox, query: QueryParams, account: str) -> tuple[list[Task], str]:
    """The tasks of the page, and the token of the next page ("" if there is none). RequestRefused."""
    _check_keys(query)
    size, last = _size(query.get("pager.pagesz", "10")), _last(query.get("pager.page_token", ""))
    now = sandbox.environment.clock()
    since = _moment(query, "created_at.from", now - _WINDOW_SECONDS)
    until = _moment(query, "created_at.to", float("inf"))
    states, ids, versions = (_values(query, name) for name in ("states", "task_ids", "model_versions"))
    if not states <= _STATES:
        raise RequestRefused("FieldInvalid", f"states must be of {', '.join(sorted(_STATES))}")
    newest_first: Iterator[Task] = reversed(sandbox.tasks.values())
    if last:
        if last not in sandbox.tasks:
            raise RequestRefused("FieldInvalid", "pager.page_token is of a page that does not exist any more")
        newest_first = islice(dropwhile(lambda task: task.id != last, newest_first), 1, None)
    wanted = (
        task
        for task in newest_first
        if (task.dialect, task.account) == ("vidu", account)
        and since <= task.created_at <= until
        and (not states or task.state in states)
        and (not ids or task.id in ids)
        and (not versions or _VERSION in versions)
    )
    found = list(islice(wanted, size + 1))
    has_more = len(found) > size
    return found[:size], _token(found[size - 1].id) if has_more else ""


def _check_keys(query: QueryParams) -> None:
    for name in query:
        if name not in _FILTERS and name not in _ONCE:
            raise RequestRefused("FieldUnwanted", f"unknown parameter {name[:60]!r}")
        if name in _ONCE and len(query.getlist(name)) > 1:
            raise RequestRefused("FieldInvalid", f"{name} is given more than once")


def _size(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 5 and int(text) in _PAGE_SIZES):
        raise RequestRefused("FieldInvalid", "pager.pagesz must be an integer from 10 to 100")
    return int(text)


def _moment(query: QueryParams, name: str, default: float) -> float:
    text = query.get(name)
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RequestRefused(
            "FieldInvalid", f"{name} must be a time with its zone, as in 2026-01-20T06:52:02.323Z"
        )
    return moment.timestamp()


def _values(query: QueryParams, name: str) -> set[str]:
    return {value for given in query.getlist(name) for value in given.split(",") if value}


def _token(task_id: str) -> str:
    return base64.urlsafe_b64encode(f"after:{task_id}".encode()).decode()


def _last(token: str) -> str:
    """The last task of the previous page; "" for the first page."""
    if not token:
        return ""
    try:
        word, _, task_id = base64.b64decode(token, b"-_", validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        word = task_id = ""
    if word != "after" or not task_id:
        raise RequestRefused("FieldInvalid", "pager.page_token is invalid")
    return task_id
