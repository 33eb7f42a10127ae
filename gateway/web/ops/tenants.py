"""Operators' operations on tenants: list, create, get, update, pause and resume."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway import tenants
from gateway.errors import NotFound
from gateway.jobs import rfc3339
from gateway.tenants import Key, Tenant
from gateway.web.http.answers import json_answer
from gateway.web.http.params import Params, text
from gateway.web.ops import bodies, budgets
from gateway.web.ops.filters import LIMIT
from gateway.web.schemas import tenants as schemas
from gateway.web.schemas.ops import TENANT, PauseRequest
from gateway.web.state import State, state_of

AFTER: Final = text("after", "Only tenants after this one.", TENANT, "the name of a tenant")


async def page(request: Request, key: Key, params: Params) -> Response:
    """All tenants, ordered by name."""
    limit, state = params[LIMIT], state_of(request)
    found, more = await state.resources.tenants.page(params[AFTER], limit)
    following = f"/ops/api/tenants?after={found[-1].name}&limit={limit}" if more and found else None
    data = [view(state, tenant) for tenant in found]
    return json_answer(schemas.TenantList(object="list", data=data, has_more=more, next=following))


async def create(request: Request, key: Key, _: Params) -> Response:
    """201 and the tenant. An existing tenant is updated."""
    wanted = await bodies.read(request, key, schemas.NewTenantRequest)
    state = state_of(request)
    changes = changes_of(wanted)
    made = await state.resources.tenants.change(wanted.tenant, changes, key.id)
    return json_answer(view(state, made), 201, {"location": f"/ops/api/tenants/{made.name}"})


async def show(request: Request, key: Key, _: Params) -> Response:
    state = state_of(request)
    return json_answer(view(state, await state.resources.tenants.read(name_of(request))))


async def update(request: Request, key: Key, _: Params) -> Response:
    """The updated tenant. Omitted fields stay unchanged; null resets to the service's default."""
    wanted = await bodies.read(request, key, schemas.TenantChange)
    state = state_of(request)
    changes = changes_of(wanted)
    changed = await state.resources.tenants.change(name_of(request), changes, key.id)
    return json_answer(view(state, changed))


async def pause(request: Request, key: Key, _: Params) -> Response:
    """The paused tenant. None of its jobs is sent to the upstream until it is resumed."""
    wanted = await bodies.read(request, key, PauseRequest)
    state = state_of(request)
    paused = await state.resources.tenants.pause(name_of(request), wanted.reason, key.id)
    return json_answer(view(state, paused))


async def resume(request: Request, key: Key, _: Params) -> Response:
    state = state_of(request)
    resumed = await state.resources.tenants.resume(name_of(request), key.id)
    return json_answer(view(state, resumed))


def changes_of(wanted: schemas.TenantChange) -> dict[str, object]:
    """The settings to change, as they are stored. None: back to the service's default."""
    changes = wanted.model_dump(exclude_unset=True, exclude={"tenant", "budgets"})
    return changes | (budgets.changes_of(wanted.budgets) if "budgets" in wanted.model_fields_set else {})


def name_of(request: Request) -> str:
    """The tenant in the path. NotFound if it cannot be a tenant's name."""
    name: str = request.path_params["tenant"]
    if not tenants.TENANT.match(name):
        raise NotFound("tenant", "of this form; names have 1 to 32 of a-z, 0-9, _ and -")
    return name


def view(state: State, tenant: Tenant) -> schemas.TenantSettings:
    """The tenant as operators see it."""
    settings = state.resources.settings
    paused: schemas.TenantPaused | None = None
    if tenant.paused_at is not None:
        at = rfc3339(tenant.paused_at)
        paused = {"at": at, "by": tenant.paused_by, "reason": tenant.paused_reason}
    return {
        "object": "tenant",
        "tenant": tenant.name,
        "title": tenant.title,
        "created_at": rfc3339(tenant.created_at),
        "on_unknown": tenant.on_unknown,
        "on_unknown_default": settings.on_unknown,
        "weight": tenant.weight,
        "in_flight": tenant.in_flight,
        "queue_max": tenant.queue_max,
        "rate": tenant.rate,
        "burst": tenant.burst,
        "networks": None if tenant.networks is None else list(tenant.networks),
        "budgets": budgets.view(tenant.budgets),
        "defaults": {
            "weight": 1,
            "in_flight": settings.upstream_tenant_slots,
            "queue_max": settings.tenant_queue_max,
            "rate": settings.tenant_rate,
            "burst": settings.tenant_burst,
        },
        "stored": {
            "bytes": tenant.stored,
            "bytes_max": settings.tenant_bytes_max,
            "media_bytes": tenant.media,
            "media_bytes_max": settings.tenant_media_bytes_max,
            "upload_bytes": tenant.uploads,
            "upload_count": tenant.upload_count,
            "result_bytes": tenant.results,
        },
        "paused": paused,
    }
