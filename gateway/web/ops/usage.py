"""Operators' operations on money: usage of all tenants, the suspense, and the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.errors import LimitReached, Problem
from gateway.jobs import rfc3339
from gateway.money.amounts import to_text
from gateway.store import ledger_check
from gateway.store.balances import Balance, TooMuch
from gateway.store.ledger import row
from gateway.store.ledger_parts import Stored
from gateway.store.suspense import SuspendedJob
from gateway.tenants import Key
from gateway.web.api import usage
from gateway.web.http.answers import CSV, JSON_LINES, json_answer
from gateway.web.http.params import Params, choice, refusal, text
from gateway.web.ops.filters import LIMIT
from gateway.web.schemas import ops
from gateway.web.schemas import usage as schemas
from gateway.web.state import State, state_of

_CHECK_RETRY_SECONDS: Final = 10
GROUP_BY: Final = usage.group_param("tenant", "day", "key", default="tenant")
TENANT: Final = text("tenant", "Only this tenant.", ops.TENANT, "the name of a tenant")
SUSPENSE_AFTER: Final = text(
    "after", "Only jobs in suspense for less time than this entry.", ops.UNKNOWN_ID, "the id of an entry"
)


class LedgerFormat(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"


LEDGER_FORMAT: Final = choice("format", "JSON Lines or CSV.", LedgerFormat, LedgerFormat.JSONL)


async def show(request: Request, key: Key, params: Params) -> Response:
    """Usage of one tenant or of all."""
    state = state_of(request)
    since, until = await usage.days_of(state, params)
    tenant = params[TENANT]
    names = await tenants(state) if tenant is None else [tenant]
    lines = await usage.read(state, names, since, until, params[GROUP_BY])
    data: list[schemas.OpsUsageLine] = [
        {**line.group._asdict(), **amounts(line.balance)}  # type: ignore[typeddict-item]
        for line in lines
    ]
    if usage.wants_csv(request, params):
        return usage.csv_answer(data, schemas.OpsUsageLine)
    answer: schemas.OpsUsage = {
        "object": "usage",
        "currency": state.resources.settings.currency,
        "from": since.isoformat(),
        "to": until.isoformat(),
        "data": data,
        "sum": amounts(usage.total(lines)),
    }
    return json_answer(answer)


def amounts(balance: Balance) -> schemas.OpsAmounts:
    return {
        **usage.amounts(balance),
        "unsaid": to_text(balance.unsaid),
        "dearer": to_text(balance.dearer),
        "cheaper": to_text(balance.cheaper),
    }


async def tenants(state: State) -> list[str]:
    """All tenants. Raises Refusal if that are too many for one report."""
    try:
        return await state.resources.balances.tenants()
    except TooMuch:
        raise refusal(Problem("tenant", "required", "there are too many tenants; name one")) from None


async def suspense(request: Request, key: Key, params: Params) -> Response:
    """Jobs with money in suspense, longest first."""
    after, limit = params[SUSPENSE_AFTER], params[LIMIT]
    since, _, last = (after or "").partition("-")
    store = state_of(request).resources.suspense
    found, more = await store.page((int(since), last) if after else None, limit)
    data = [suspended(one) for one in found]
    following = f"/ops/api/suspense?after={data[-1]['id']}&limit={limit}" if more and data else None
    return json_answer(schemas.SuspenseList(object="list", data=data, has_more=more, next=following))


def suspended(one: SuspendedJob) -> schemas.Suspended:
    return {
        "id": f"{one.since}-{one.job_id}",
        "job": one.job_id,
        "tenant": one.tenant,
        "since": rfc3339(one.since),
        "suspense": to_text(one.amount),
    }


async def export(request: Request, key: Key, params: Params) -> Response:
    """The entries of the ledger that were written in a time range, oldest first."""
    state = state_of(request)
    since, until = await usage.days_of(state, params)
    rest = state.resources.ledger.entries(since, until)
    batches = _joined(await anext(rest, []), rest)  # what fails at once is still an answer
    if params[LEDGER_FORMAT] is LedgerFormat.CSV:
        return StreamingResponse(_csv(batches), media_type=CSV)
    return StreamingResponse(_lines(batches), media_type=JSON_LINES)


async def _joined(first: list[Stored], rest: AsyncIterator[list[Stored]]) -> AsyncIterator[list[Stored]]:
    if first:
        yield first
    async for batch in rest:
        yield batch


async def _lines(batches: AsyncIterator[list[Stored]]) -> AsyncIterator[bytes]:
    async for batch in batches:
        yield b"".join(orjson.dumps(_entry(one), option=orjson.OPT_APPEND_NEWLINE) for one in batch)


async def _csv(batches: AsyncIterator[list[Stored]]) -> AsyncIterator[str]:
    names = usage.columns(schemas.LedgerEntry)
    yield usage.csv_lines([], names, heading=True)
    async for batch in batches:
        yield usage.csv_lines(map(_entry, batch), names, heading=False)


def _entry(stored: Stored) -> dict[str, Any]:
    found = row(stored)
    amounts = {name: to_text(int(found.get(name) or 0)) for name in ("amount", "taken")}
    return {"priced": "", "why": "", "key": "", **found, "at": rfc3339(int(found["at"])), **amounts}


async def check(request: Request, key: Key, params: Params) -> Response:
    """Whether the balances are what the ledger says. One check at a time: it reads all entries since `from`.
    LimitReached while another one runs."""
    state = state_of(request)
    since, until = await usage.days_of(state, params)
    if (max(until, await state.resources.ledger.today()) - since).days >= ledger_check.MOST_DAYS:
        message = f"send one of the last {ledger_check.MOST_DAYS} days"
        raise refusal(Problem("from", "out_of_range", message))
    message = "this gateway compares the balances with the ledger already; ask again when that has ended"
    too_many = LimitReached(message, _CHECK_RETRY_SECONDS, limit="ledger_checks")
    with state.held.one("ledger check", 1, too_many):
        found = await state.resources.ledger_check.run(since, until)
    answer: schemas.LedgerChecked = {
        "object": "ledger_check",
        "from": found.since.isoformat(),
        "to": found.until.isoformat(),
        "entries": found.entries,
        "balances": found.balances,
        "different": found.different,
        "differences": [
            {
                "tenant": one.tenant,
                "key": one.key,
                "period": one.period,
                "field": one.field,
                "ledger": to_text(one.ledger),
                "balance": to_text(one.balance),
            }
            for one in found.differences
        ],
    }
    return json_answer(answer)
