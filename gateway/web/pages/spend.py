"""The page of money: what jobs cost by tenant, day and outcome, budgets, the suspense, and drift."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.money.amounts import MICRO
from gateway.store.balances import Balance, BudgetState, Group, Line, days
from gateway.web.api import usage
from gateway.web.http.params import Params, Reader
from gateway.web.ops.usage import TENANT, tenants
from gateway.web.pages.rendering import SAID, render
from gateway.web.pages.sessions import viewer_of
from gateway.web.state import State, state_of

#: Days that are shown by default.
DAYS: Final = 30
MOST_TENANTS: Final = 50
MOST_BUDGETS: Final = 20
MOST_SUSPENDED: Final = 20
_SECONDS: Final = 86_400
_QUERY: Final = Reader((usage.FROM, usage.TO, TENANT, SAID), blank_is_absent=True)


async def show(request: Request) -> Response:
    viewer, state = await viewer_of(request), state_of(request)
    params = _QUERY.read(request)
    since, until = await _days(state, params)
    tenant = params[TENANT]
    names = await tenants(state) if tenant is None else [tenant]
    lines = await usage.read(state, names, since, until, frozenset(("tenant", "day")), recent=True)
    (held, more), budgets, spend = await asyncio.gather(
        state.resources.suspense.page(None, MOST_SUSPENDED),
        state.resources.balances.budgets(names),
        state.resources.spend.read(),
    )
    by_tenant = sorted(_sums(lines, "tenant").items(), key=lambda one: (-one[1].charged, -one[1].used))
    by_day = _sums(lines, "day")
    return render(
        request,
        "spend.html",
        viewer,
        since=since.isoformat(),
        until=until.isoformat(),
        tenant=tenant,
        currency=state.resources.settings.currency,
        sum=usage.total(lines),
        by_tenant=by_tenant[:MOST_TENANTS],
        tenants=len(by_tenant),
        by_day=sorted(by_day.items(), reverse=True),
        plots=orjson.dumps(plots(by_day, since, until)).decode(),
        budgets=fullest(budgets)[:MOST_BUDGETS],
        budgets_total=len(budgets),
        held=held,
        held_more=more,
        money=spend,
        export=_export(since, until, tenant),
    )


def fullest(budgets: Sequence[BudgetState]) -> list[BudgetState]:
    """Those that are used furthest come first."""
    return sorted(budgets, key=lambda one: -one.balance.used / max(1, one.budget.limit))


def plots(by_day: Mapping[str, Balance], since: date, until: date) -> dict[str, list[Any]]:
    """Columns of the chart: every day, also those without jobs; none if nothing was charged. `at`: s; amounts
    in whole units."""
    names = list(days(since, until))
    found = [by_day.get(name, Balance()) for name in names]
    if not any(one.charged for one in found):
        names, found = [], []
    first = int(datetime(since.year, since.month, since.day, tzinfo=UTC).timestamp())
    return {
        "at": [first + number * _SECONDS for number in range(len(names))],
        "charged": [one.charged / MICRO for one in found],
        "wasted": [one.wasted / MICRO for one in found],
    }


async def _days(state: State, params: Params) -> tuple[date, date]:
    if params[usage.FROM] is None and params[usage.TO] is None:
        today = await state.resources.ledger.today()
        return today - timedelta(DAYS - 1), today
    return await usage.days_of(state, params)


def _sums(lines: Sequence[Line], by: str) -> dict[str, Balance]:
    found: dict[str, Balance] = {}
    at = Group._fields.index(by)
    for line in lines:
        name = line.group[at] or ""
        found[name] = found.get(name, Balance()) + line.balance
    return found


def _export(since: date, until: date, tenant: str | None) -> str:
    """The command that exports what the page shows."""
    chosen = f" --tenant {tenant}" if tenant else ""
    return f"vidu-gateway usage --from {since} --to {until}{chosen} --csv"
