"""The pages of tenants: what each may do and does, its keys; pause and resume it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway import tenants
from gateway.dispatch import Role
from gateway.web.api.endpoint_views import views
from gateway.web.http.queries import Query
from gateway.web.ops.tenants import name_of, public, public_key
from gateway.web.pages import forms
from gateway.web.pages.rendering import address, render
from gateway.web.pages.sessions import viewer_of
from gateway.web.schemas.ops import ParkRequest
from gateway.web.state import State, state_of

PAGE: Final = 50


async def show_all(request: Request) -> Response:
    viewer, state = await viewer_of(request), state_of(request)
    query = Query(request, "after", "said")
    after = query.text("after", tenants.TENANT, "the name of a tenant")
    query.check()
    found, more = await state.resources.tenants.page(after, PAGE)
    rows = await state.resources.queues.named(Role.SUBMIT, [tenant.name for tenant in found])
    return render(
        request,
        "tenants.html",
        viewer,
        tenants=[
            {"shown": public(state, tenant), "lane": row} for tenant, row in zip(found, rows, strict=True)
        ],
        following=address("/ops/tenants", after=found[-1].name) if more else None,
    )


async def show(request: Request) -> Response:
    viewer, state = await viewer_of(request), state_of(request)
    name = name_of(request)
    resources = state.resources
    tenant, [lane], keys, endpoints, counts = await asyncio.gather(
        resources.tenants.read(name),
        resources.queues.named(Role.SUBMIT, [name]),
        resources.client_keys.of_tenant(name),
        resources.endpoints.of(name),
        resources.queues.counts(name),
    )
    return render(
        request,
        "tenant.html",
        viewer,
        tenant=public(state, tenant),
        lane=lane,
        jobs=counts,
        keys=[public_key(key) for key in keys],
        endpoints=await views(resources, endpoints),
        limits=_limits(public(state, tenant)),
    )


async def pause(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    wanted = forms.parse(ParkRequest, form)
    await _tenants(state_of(request)).pause(name_of(request), wanted.reason, viewer.key.id)
    return RedirectResponse(f"/ops/tenants/{name_of(request)}?said=tenant_paused", 303)


async def resume(request: Request) -> Response:
    viewer, _ = await forms.acting(request)
    await _tenants(state_of(request)).resume(name_of(request), viewer.key.id)
    return RedirectResponse(f"/ops/tenants/{name_of(request)}?said=tenant_resumed", 303)


def _tenants(state: State) -> Any:
    return state.resources.tenants


def _limits(shown: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """What it may do: in words, as set for it, and as the service does."""
    words = {
        "weight": "weight",
        "in_flight": "jobs at the upstream",
        "queue_max": "waiting jobs",
        "rate": "posted jobs per second",
        "burst": "burst of posted jobs",
    }
    return [(text, _any(shown[name]), _any(shown["defaults"][name])) for name, text in words.items()]


def _any(limit: float | None) -> float | str | None:
    return "no limit" if limit == 0 else limit
