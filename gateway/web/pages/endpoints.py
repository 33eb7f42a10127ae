"""Pages of subscribers: paused ones, a tenant's endpoints, and one endpoint with its health."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.errors import Conflict, NotFound
from gateway.web.api.endpoint_views import view, views
from gateway.web.api.recoveries import public_recovery
from gateway.web.http.params import Reader
from gateway.web.ops import actions
from gateway.web.ops.subscribers import paused_rows
from gateway.web.pages import forms
from gateway.web.pages.filters import TENANT
from gateway.web.pages.rendering import SAID, render
from gateway.web.pages.sessions import viewer_of
from gateway.web.schemas.jobs import ENDPOINT_ID
from gateway.web.schemas.subscribers import PauseSubscriber, ResumeSubscribers
from gateway.web.state import state_of

_MAX_PAUSED: Final = 100
_HOURS: Final = 24
_ENDPOINT_ID: Final = re.compile(ENDPOINT_ID)
_QUERY: Final = Reader((TENANT, SAID), blank_is_absent=True)


async def find(request: Request) -> Response:
    viewer, state = await viewer_of(request), state_of(request)
    tenant = _QUERY.read(request)[TENANT]
    paused, more = await paused_rows(state, _MAX_PAUSED)
    resources = state.resources
    rows = await views(resources, await resources.endpoints.of(tenant)) if tenant else []
    return render(
        request,
        "endpoints.html",
        viewer,
        tenant=tenant,
        endpoints=rows,
        paused=paused,
        more=more,
        failing=await resources.lane_views.failing(_MAX_PAUSED),
        most_failing=_MAX_PAUSED,
    )


async def show(request: Request) -> Response:
    viewer, state = await viewer_of(request), state_of(request)
    resources = state.resources
    endpoint = await resources.endpoints.find(_id(request))
    if endpoint is None:
        raise NotFound("endpoint", _id(request))
    return render(
        request,
        "endpoint.html",
        viewer,
        tenant=endpoint.tenant,
        endpoint=await view(resources, endpoint),
        recoveries=[public_recovery(one) for one in await resources.recoveries.of(endpoint.id)],
        hours=_HOURS,
    )


async def pause(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    wanted = forms.parse(PauseSubscriber, form)
    state, by = state_of(request), viewer.by
    await actions.pause_subscriber(state, wanted.subscriber, wanted.seconds, wanted.reason, by)
    return RedirectResponse(_back(wanted.subscriber, "subscriber_paused"), 303)


async def resume(request: Request) -> Response:
    viewer, form = await forms.acting(request)
    wanted = forms.parse(ResumeSubscribers, form)
    if wanted.subscriber is None:
        raise Conflict("no subscriber was chosen; go back and choose one")
    await actions.resume_subscribers(state_of(request), [wanted.subscriber], viewer.by)
    return RedirectResponse(_back(wanted.subscriber, "subscriber_resumed"), 303)


async def recover(request: Request) -> Response:
    """Redelivers the endpoint's dead and held deliveries of the last day, after all its other deliveries."""
    viewer, _ = await forms.acting(request)
    state = state_of(request)
    endpoint = await state.resources.endpoints.find(_id(request))
    if endpoint is None:
        raise NotFound("endpoint", _id(request))
    await actions.recover(state, endpoint, _HOURS, viewer.by)
    return RedirectResponse(f"/ops/endpoints/{endpoint.id}?said=recovering", 303)


def _back(subscriber: str, said: str) -> str:
    page = f"/ops/endpoints/{subscriber}" if subscriber.startswith("ep_") else "/ops/endpoints"
    return f"{page}?said={said}"


def _id(request: Request) -> str:
    name: str = request.path_params["endpoint_id"]
    if not _ENDPOINT_ID.fullmatch(name):
        raise NotFound("endpoint", "of this form; ids look like ep_ and 26 letters and digits")
    return name
