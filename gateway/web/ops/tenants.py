"""The routes by which operators make tenants, set what each may do, pause it, and make and end its keys."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway import tenants
from gateway.delivery.secrets import tenant_secret
from gateway.errors import InvalidRequest, NotFound, Problem
from gateway.jobs import rfc3339
from gateway.tenants import CLIENT_SCOPES, Key, Scope, Tenant, mint
from gateway.web import auth
from gateway.web.http.answers import json_answer
from gateway.web.http.queries import Query
from gateway.web.ops import bodies
from gateway.web.schemas.ops import ParkRequest
from gateway.web.schemas.tenants import KeyRequest, KeyRotation, NewTenantRequest, TenantChange, TenantRequest
from gateway.web.state import State, state_of

PAGE_DEFAULT: Final = 100
PAGE_MAX: Final = 1000
_HOUR_MS: Final = 3_600_000


async def page(request: Request) -> Response:
    """All tenants, in the order of their names."""
    await auth.require(request, Scope.OPS_READ)
    query = Query(request, "after", "limit")
    after = query.text("after", tenants.TENANT, "the name of a tenant")
    limit = query.whole("limit", 1, PAGE_MAX, PAGE_DEFAULT)
    query.check()
    state = state_of(request)
    found, more = await state.resources.tenants.page(after, limit)
    following = f"/ops/api/tenants?after={found[-1].name}&limit={limit}" if more and found else None
    data = [public(state, tenant) for tenant in found]
    return json_answer({"object": "list", "data": data, "has_more": more, "next": following})


async def create(request: Request) -> Response:
    """201 and the tenant; one that was there is changed as asked."""
    key = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    wanted = await bodies.read(request, key, NewTenantRequest)
    state = state_of(request)
    changes = wanted.model_dump(exclude_unset=True, exclude={"tenant"})
    made = await state.resources.tenants.change(wanted.tenant, changes, key.id)
    return json_answer(public(state, made), 201, {"location": f"/ops/api/tenants/{made.name}"})


async def show(request: Request) -> Response:
    await auth.require(request, Scope.OPS_READ)
    Query(request).check()
    state = state_of(request)
    return json_answer(public(state, await state.resources.tenants.read(name_of(request))))


async def change(request: Request) -> Response:
    """The tenant as it is then; what is not named stays, null is what the service does."""
    key = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    model = TenantRequest if request.method == "PUT" else TenantChange
    wanted = await bodies.read(request, key, model)
    state = state_of(request)
    changes = wanted.model_dump(exclude_unset=True)
    changed = await state.resources.tenants.change(name_of(request), changes, key.id)
    return json_answer(public(state, changed))


async def pause(request: Request) -> Response:
    """The tenant; nothing of it is sent to the upstream until `resume`."""
    key = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    wanted = await bodies.read(request, key, ParkRequest)
    state = state_of(request)
    paused = await state.resources.tenants.pause(name_of(request), wanted.reason, key.id)
    return json_answer(public(state, paused))


async def resume(request: Request) -> Response:
    key = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    state = state_of(request)
    return json_answer(public(state, await state.resources.tenants.resume(name_of(request), key.id)))


async def keys(request: Request) -> Response:
    """The tenant's keys without their secrets, the oldest first."""
    await auth.require(request, Scope.OPS_READ)
    Query(request).check()
    found = await state_of(request).resources.client_keys.of_tenant(name_of(request))
    data = [public_key(key) for key in found]
    return json_answer({"object": "list", "data": data, "has_more": False, "next": None})


async def create_key(request: Request) -> Response:
    """201 and the key, shown this once."""
    by = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    wanted = await bodies.read(request, by, KeyRequest)
    scopes = wanted.scopes or list(CLIENT_SCOPES)
    if beyond := [scope for scope in scopes if scope not in CLIENT_SCOPES and scope not in by.scopes]:
        message = f"your own key does not have {', '.join(beyond)}; leave it out"
        raise InvalidRequest([Problem("scopes", "not_yours_to_give", message)])
    state, tenant = state_of(request), name_of(request)
    environment = state.resources.environment
    now = environment.now_ms()
    ends = None if wanted.expires_in_hours is None else now + wanted.expires_in_hours * _HOUR_MS
    key, text = mint(environment.entropy, now, tenant, scopes, wanted.name, expires_at=ends)
    return await _made(state, key, text, by)


async def rotate_key(request: Request) -> Response:
    """201 and a key like this one, shown this once; this one goes on for the overlap."""
    by = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    wanted = await bodies.read(request, by, KeyRotation)
    state, old = state_of(request), await _key(request)
    if beyond := sorted(set(old.scopes) - set(CLIENT_SCOPES) - set(by.scopes)):
        message = f"the key has {', '.join(beyond)}, which yours does not have"
        raise InvalidRequest([Problem("key_id", "not_yours_to_give", message)])
    environment = state.resources.environment
    now = environment.now_ms()
    until = now + wanted.overlap_seconds * 1000
    key, text = mint(environment.entropy, now, old.tenant, old.scopes, old.name, replaces=old.id)
    return await _made(state, key, text, by, min(until, old.expires_at or until))


async def revoke_key(request: Request) -> Response:
    """The key, which opens nothing any more, in five seconds at the latest."""
    by = await auth.require(request, Scope.OPS_WRITE)
    Query(request).check()
    state, key = state_of(request), await _key(request)
    await state.resources.ops_log.note("key_revoked", key=key.id, tenant=key.tenant, by=by.id)
    await state.resources.client_keys.revoke(key.id, state.resources.environment.now_ms())
    return json_answer(public_key(await _key(request)))


async def _made(state: State, key: Key, text: str, by: Key, until: int | None = None) -> Response:
    resources = state.resources
    await resources.ops_log.note(
        "key_made", key=key.id, tenant=key.tenant, scopes=" ".join(sorted(key.scopes)), by=by.id
    )
    await resources.client_keys.add(key, until)
    keyring = resources.keyring
    secret = tenant_secret(keyring, keyring.active_kid, key.tenant)
    return json_answer(public_key(key) | {"key": text, "signing_secret": secret}, 201)


async def _key(request: Request) -> Key:
    key_id = request.path_params["key_id"]
    found = await state_of(request).resources.client_keys.lookup(key_id)
    if found is None:
        raise NotFound("key", key_id)
    return found


def name_of(request: Request) -> str:
    name: str = request.path_params["tenant"]
    if not tenants.TENANT.match(name):
        raise NotFound("tenant", "of this form; names are of 1 to 32 of a-z, 0-9, _ and -")
    return name


def public(state: State, tenant: Tenant) -> dict[str, Any]:
    """The tenant as operators see it."""
    settings = state.resources.settings
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
        "defaults": {
            "weight": 1,
            "in_flight": settings.upstream_tenant_slots,
            "queue_max": settings.tenant_queue_max,
            "rate": settings.tenant_rate,
            "burst": settings.tenant_burst,
        },
        "paused": None
        if tenant.paused_at is None
        else {
            "at": rfc3339(tenant.paused_at),
            "by": tenant.paused_by,
            "reason": tenant.paused_reason,
        },
    }


def public_key(key: Key) -> dict[str, Any]:
    """The key without its secret."""
    return {
        "object": "key",
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": rfc3339(key.created_at),
        "expires_at": rfc3339(key.expires_at),
        "last_used_at": rfc3339(key.last_used_at),
        "revoked_at": rfc3339(key.revoked_at),
        "replaces": key.replaces,
    }
