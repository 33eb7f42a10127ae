"""What a tenant's jobs cost, by day and key, and what is left of its budgets."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Problem
from gateway.jobs import rfc3339
from gateway.money.amounts import to_text
from gateway.store.balances import Balance, BudgetState, Line, TooMuch
from gateway.tenants import Key
from gateway.web.http.answers import CSV, json_answer
from gateway.web.http.params import InvalidValue, Param, Params, choice, refusal
from gateway.web.schemas import usage as schemas
from gateway.web.state import State, state_of

#: Days of one report of a tenant.
MOST_DAYS: Final = 400
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?\Z", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"


def _day(text: str) -> date:
    try:
        if _DAY.match(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidValue("wrong_form", "is not a day; send one such as 2026-12-01 (UTC)")


def day_param(name: str, description: str) -> Param[date | None]:
    schema = {"type": "string", "format": "date", "examples": ["2026-12-01"]}
    return Param(name, description, schema, _day, None)


def group_param(*words: str, default: str) -> Param[frozenset[str]]:
    """A comma-separated list of these words."""

    def read(text: str) -> frozenset[str]:
        found = [part.strip() for part in text.split(",")]
        if found and all(part in words for part in found) and len(set(found)) == len(found):
            return frozenset(found)
        raise InvalidValue("not_one_of", f"send some of {', '.join(words)}, separated by commas, each once")

    items = {"type": "string", "enum": list(words)}
    schema = {"type": "array", "items": items, "minItems": 1, "uniqueItems": True, "default": [default]}
    description = "What is told apart, separated by commas."
    serialization = {"style": "form", "explode": False}
    return Param("group_by", description, schema, read, frozenset({default}), serialization=serialization)


FROM: Final = day_param("from", "First day of acceptance (UTC). Default: the first of the month.")
TO: Final = day_param("to", "Last day (UTC). Default: today.")
GROUP_BY: Final = group_param("day", "key", default="day")
FORMAT: Final = choice("format", "Default: what `Accept` asks for, else `json`.", Format)


async def show(request: Request, key: Key, params: Params) -> Response:
    """The usage of the key's tenant."""
    state = state_of(request)
    since, until = await days_of(state, params)
    lines = await read(state, [key.tenant], since, until, params[GROUP_BY])
    data: list[schemas.UsageLine] = [
        {"day": line.group.day, "key": line.group.key, **amounts(line.balance)} for line in lines
    ]
    if wants_csv(request, params):
        return csv_answer(data, schemas.UsageLine)
    budgets = await state.resources.balances.budgets([key.tenant])
    answer: schemas.Usage = {
        "object": "usage",
        "currency": state.resources.settings.currency,
        "from": since.isoformat(),
        "to": until.isoformat(),
        "data": data,
        "sum": amounts(total(lines)),
        "budgets": [budget_shown(one) for one in budgets],
    }
    return json_answer(answer)


async def days_of(state: State, params: Params) -> tuple[date, date]:
    """The first and the last day of the report; by default of the current month. Raises Refusal."""
    today = await state.resources.ledger.today()
    until = params[TO] or max(today, params[FROM] or today)
    since = params[FROM] or until.replace(day=1)
    if since > until:
        raise refusal(Problem("from", "out_of_range", "is after `to`; send an earlier day"))
    if (until - since).days >= MOST_DAYS:
        raise refusal(Problem("from", "out_of_range", f"send a range of at most {MOST_DAYS} days"))
    return since, until


async def read(
    state: State,
    tenants: Sequence[str],
    since: date,
    until: date,
    apart: frozenset[str],
    *,
    recent: bool = False,
) -> list[Line]:
    """The lines of the report; `recent`: some seconds old, if it is large. Raises Refusal if it is too
    large."""
    balances = state.resources.balances
    try:
        return await (balances.recent_usage if recent else balances.usage)(tenants, since, until, apart)
    except TooMuch:
        message = "too many tenants for so many days; send a later day"
        raise refusal(Problem("from", "out_of_range", message)) from None


def total(lines: Iterable[Line]) -> Balance:
    return sum((line.balance for line in lines), Balance())


def amounts(balance: Balance) -> schemas.Amounts:
    return {
        "jobs": balance.jobs,
        "completed": balance.completed,
        "failed": balance.failed,
        "canceled": balance.canceled,
        "charged": to_text(balance.charged),
        "wasted": to_text(balance.wasted),
        "reserved": to_text(balance.reserved),
        "suspense": to_text(balance.suspense),
    }


def budget_shown(state: BudgetState) -> schemas.BudgetShown:
    return {
        "budget": f"{'key' if state.key else 'tenant'} {state.period}",
        "period": state.period,
        "key": state.key,
        "hard": state.budget.hard,
        "limit": to_text(state.budget.limit),
        "spent": to_text(state.balance.charged),
        "reserved": to_text(state.balance.reserved),
        "suspense": to_text(state.balance.suspense),
        "left": to_text(state.left),
        "ends_at": rfc3339(state.until),
    }


def wants_csv(request: Request, params: Params) -> bool:
    """By `?format=`, else by Accept."""
    if params[FORMAT] is not None:
        return params[FORMAT] is Format.CSV
    return request.headers.get("accept", "").partition(",")[0].partition(";")[0].strip() == CSV


def csv_answer(rows: Sequence[Mapping[str, Any]], shape: type[Any]) -> Response:
    """The rows below the names of their columns; None is empty."""
    return Response(csv_lines(rows, columns(shape), heading=True), media_type=CSV)


def columns(shape: type[Any]) -> list[str]:
    """The fields of the TypedDict, those that name a line first."""
    names = list(shape.__annotations__)
    first = [name for name in ("id", "at", "tenant", "day", "key") if name in names]
    return [*first, *(name for name in names if name not in first)]


def csv_lines(rows: Iterable[Mapping[str, Any]], names: Sequence[str], *, heading: bool) -> str:
    """CSV. No text is one that a spreadsheet would take for a formula."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    if heading:
        writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _plain(value: Any) -> Any:
    """The value; a text that begins as a formula does gets an apostrophe. A negative amount begins so too."""
    is_formula = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if is_formula and not _NUMBER.match(value) else value
