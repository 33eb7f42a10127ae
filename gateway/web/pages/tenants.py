"""Pages of tenants: limits, usage and keys of each; pause and resume one."""

from __future__ import annotations

import asyncio
from typing import Final, overload

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.dispatch import Role
from gateway.errors import AmountRefused, InvalidRequest, Problem
from gateway.money.budgets import Budget, Period, field_of, read_budget
from gateway.web.api.endpoint_views import views
from gateway.web.http.params import Reader
from gateway.web.ops import keys as ops_keys
from gateway.web.ops.queues import lane_states
from gateway.web.ops.tenants import AFTER, name_of, view
from gateway.web.pages import forms
from gateway.web.pages.rendering import SAID, address, render
from gateway.web.pages.sessions import viewer_of
from gateway.web.pages.spend import fullest
from gateway.web.schemas.ops import PauseRequest
from gateway.web.schemas.tenants import TenantSettings
from gateway.web.state import state_of

PAGE: Final = 50
_QUERY: Final = Reader((AFTER, SAID), blank_is_absent=True)


async def show_all(request: Request) -> Response:
    viewer, state = await viewer_of(request), state_of(request)
    found, more = await state.resources.tenants.page(_QUERY.read(request)[AFTER], PAGE)
    rows = await state.resources.lane_views.named(Role.SUBMIT, [tenant.name for tenant in found])
    states = await lane_states(state, Role.SUBMIT, rows)
    return render(
        request,
        "tenants.html",
        viewer,
        tenants=[
            {"shown": view(state, tenant), "lane": row, "state": shown}
            for tenant, row, shown in zip(found, rows, states, strict=True)
        ],
        following=address("/ops/tenants", after=found[-1].name) if more else None,
    )


async def show(request: Request) -> Response:
    viewer, state = await viewer_of(request), state_of(request)
    name = name_of(request)
    resources = state.resources
    tenant, [lane], keys, endpoints, counts, budgets = await asyncio.gather(
        resources.tenants.read(name),
        resources.lane_views.named(Role.SUBMIT, [name]),
        resources.client_keys.of_tenant(name),
        resources.endpoints.of(name),
        resources.lane_views.counts(name),
        resources.balances.budgets([name]),
    )
    shown, settings = view(state, tenant), resources.settings
    return render(
        request,
        "tenant.html",
        viewer,
        tenant=shown,
        lane=lane,
        lane_state=(await lane_states(state, Role.SUBMIT, [lane]))[0],
        jobs=counts,
        keys=[ops_keys.view(key, tenant) for key in keys],
        endpoints=await views(resources, endpoints),
        limits=_limits(shown),
        budgets=fullest(budgets),
        currency=settings.currency,
        budget_texts=[(period.value, _budget(tenant.budgets.get(period))) for period in Period],
        most={
            "upload_bytes": settings.tenant_uploads_bytes_max,
            "upload_count": settings.tenant_uploads_max,
            "result_bytes": settings.tenant_results_bytes_max,
        },
    )


async def pause(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    wanted = forms.parse(PauseRequest, form)
    store = state_of(request).resources.tenants
    await store.pause(name_of(request), wanted.reason, viewer.by)
    return RedirectResponse(f"/ops/tenants/{name_of(request)}?said=tenant_paused", 303)


async def set_budgets(request: Request) -> Response:
    """All budgets of the tenant at once: an empty field is no budget."""
    viewer, form = await forms.acting(request)
    changes: dict[str, object] = {}
    problems: list[Problem] = []
    for period in Period:
        try:
            budget = read_budget(form.get(period.value, "none"))
            changes[field_of(period)] = budget.dump() if budget else None
        except AmountRefused as error:
            problems.append(Problem(period.value, "out_of_range", str(error)))
    if problems:
        raise InvalidRequest(problems)
    await state_of(request).resources.tenants.change(name_of(request), changes, viewer.by)
    return RedirectResponse(f"/ops/tenants/{name_of(request)}?said=budgets_changed", 303)


async def resume(request: Request) -> Response:
    viewer, _ = await forms.acting(request)
    store = state_of(request).resources.tenants
    await store.resume(name_of(request), viewer.by)
    return RedirectResponse(f"/ops/tenants/{name_of(request)}?said=tenant_resumed", 303)


def _budget(budget: Budget | None) -> str:
    return budget.shown if budget else ""


def _limits(shown: TenantSettings) -> list[tuple[str, float | str | None, float | str]]:
    """The tenant's limits: (name, its own value, the service's default)."""
    own, usual = shown, shown["defaults"]
    return [
        ("weight", own["weight"], usual["weight"]),
        ("jobs at the upstream", own["in_flight"], usual["in_flight"]),
        ("waiting jobs", own["queue_max"], usual["queue_max"]),
        ("posted jobs per second", _rate(own["rate"]), _rate(usual["rate"])),
        ("burst of posted jobs", own["burst"], usual["burst"]),
    ]


@overload
def _rate(limit: float) -> float | str: ...
@overload
def _rate(limit: float | None) -> float | str | None: ...
def _rate(limit: float | None) -> float | str | None:
    return "no limit" if limit == 0 else limit
