"""The pages of deliveries: what was given up, a tenant's, one with its attempts; send them again."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway import tenants
from gateway.lifecycle import DeliveryState
from gateway.store.delivery_base import DeliveryQuery
from gateway.web.api.deliveries import public_delivery
from gateway.web.http.queries import Query
from gateway.web.ops import actions
from gateway.web.ops.deliveries import delivery_of
from gateway.web.ops.queues import SKIP_MAX, dead_rows
from gateway.web.pages import forms
from gateway.web.pages.rendering import address, render
from gateway.web.pages.sessions import viewer_of
from gateway.web.schemas.queues import MOST_AT_ONCE, RedeliverDead
from gateway.web.state import State, state_of

PAGE: Final = 50


async def find(request: Request) -> Response:
    """What was given up of all tenants; or a tenant's deliveries."""
    viewer, state = await viewer_of(request), state_of(request)
    query = Query(request, "tenant", "state", "skip", "said", "number")
    tenant = query.text("tenant", tenants.TENANT, "the name of a tenant") if _has(request, "tenant") else None
    kind = query.choice("state", DeliveryState) if _has(request, "state") else None
    skip = query.whole("skip", 0, SKIP_MAX, 0)
    query.check()
    following = None
    if tenant is None:
        rows, more = await dead_rows(state, skip, PAGE)
        following = address("/ops/deliveries", skip=skip + PAGE) if more else None
    else:
        rows, more = await _of_tenant(state, tenant, kind), False
    return render(
        request,
        "deliveries.html",
        viewer,
        rows=rows,
        tenant=tenant,
        kind=kind,
        kinds=[one.value for one in DeliveryState],
        following=following,
        more=more,
        most=MOST_AT_ONCE,
    )


async def show(request: Request) -> Response:
    viewer = await viewer_of(request)
    delivery = await delivery_of(request)
    return render(
        request,
        "delivery.html",
        viewer,
        delivery={"tenant": delivery.tenant, **public_delivery(delivery)},
    )


async def redeliver(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    delivery = await actions.redeliver(state_of(request), await delivery_of(request), viewer.key.id)
    back = f"/ops/jobs/{delivery.job_id}" if form.get("back") == "job" else f"/ops/deliveries/{delivery.id}"
    return RedirectResponse(f"{back}?said=sent_again", 303)


async def redeliver_dead(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    wanted = forms.parse(RedeliverDead, form)
    state = state_of(request)
    found, _ = await state.resources.deliveries.dead(0, wanted.number)
    done = await actions.redeliver_all(state, found, viewer.key.id)
    return RedirectResponse(f"/ops/deliveries?said=all_sent_again&number={done['sent']}", 303)


async def _of_tenant(state: State, tenant: str, kind: str | None) -> list[dict[str, Any]]:
    """The newest; for older ones there is the API, which turns pages."""
    wanted = DeliveryQuery(
        tenant=tenant,
        states=[DeliveryState(kind)] if kind else list(DeliveryState),
        lane=None,
        job_id=None,
        after=None,
        limit=PAGE,
    )
    found = await state.resources.deliveries.page(wanted)
    return [{"tenant": one.tenant, **public_delivery(one, log=False)} for one in found.deliveries]


def _has(request: Request, name: str) -> bool:
    """A form sends what was left empty, too."""
    return bool(request.query_params.get(name))
