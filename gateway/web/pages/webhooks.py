"""Pages of deliveries: dead letters, a tenant's deliveries, one with its attempts; redeliver them."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.jobs import rfc3339
from gateway.lifecycle import DeliveryState
from gateway.store.delivery_base import DeliveryQuery
from gateway.web.api.deliveries import STATE
from gateway.web.http.params import Param, Reader
from gateway.web.ops import actions
from gateway.web.ops.deliveries import delivery_of, summary, view
from gateway.web.ops.queues import SKIP, dead_rows
from gateway.web.pages import forms
from gateway.web.pages.filters import TENANT
from gateway.web.pages.rendering import SAID, address, render
from gateway.web.pages.sessions import viewer_of
from gateway.web.schemas.queues import MAX_REDELIVERIES, RedeliverDead
from gateway.web.schemas.subscribers import OpsDeliverySummary
from gateway.web.state import State, state_of

PAGE: Final = 50
#: Number of deliveries just redelivered, which the page confirms.
_NUMBER: Final[Param[str | None]] = Param("number", "How many.", {"type": "string"}, str, None)
_QUERY: Final = Reader((TENANT, STATE, SKIP, SAID, _NUMBER), blank_is_absent=True)


async def find(request: Request) -> Response:
    """The dead letters of all tenants, or a tenant's deliveries."""
    viewer, state = await viewer_of(request), state_of(request)
    query = _QUERY.read(request)
    tenant, kind, skip = query[TENANT], query[STATE], query[SKIP]
    following = None
    if tenant is None:
        rows, more = await dead_rows(state, skip, PAGE)
        following = address("/ops/deliveries", skip=skip + PAGE) if more else None
    else:
        rows, more = await _of_tenant(state, tenant, kind)
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
        most=MAX_REDELIVERIES,
    )


async def show(request: Request) -> Response:
    viewer = await viewer_of(request)
    delivery = await delivery_of(request)
    health = await state_of(request).resources.lanes.health(delivery.lane)
    return render(
        request,
        "delivery.html",
        viewer,
        delivery=view(delivery),
        paused=health.paused,
        paused_until=rfc3339(health.paused_until),
    )


async def redeliver(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    delivery = await actions.redeliver(state_of(request), await delivery_of(request), viewer.by)
    back = f"/ops/jobs/{delivery.job_id}" if form.get("back") == "job" else f"/ops/deliveries/{delivery.id}"
    return RedirectResponse(f"{back}?said=sent_again", 303)


async def redeliver_dead(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    wanted = forms.parse(RedeliverDead, form)
    state = state_of(request)
    found, _ = await state.resources.deliveries.dead(0, wanted.number)
    done = await actions.redeliver_all(state, found, viewer.by)
    return RedirectResponse(f"/ops/deliveries?said=all_sent_again&number={done['sent']}", 303)


async def _of_tenant(
    state: State, tenant: str, kind: DeliveryState | None
) -> tuple[list[OpsDeliverySummary], bool]:
    """The newest deliveries, and whether there are more; the API lists those."""
    wanted = DeliveryQuery(
        tenant=tenant,
        states=[kind] if kind else list(DeliveryState),
        lane=None,
        job_id=None,
        after=None,
        limit=PAGE,
    )
    found = await state.resources.deliveries.page(wanted)
    return [summary(one) for one in found.deliveries], found.more
