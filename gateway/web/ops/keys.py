"""Operators' operations on tenants' keys: list, create, change, rotate and revoke."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.delivery.secrets import tenant_secret
from gateway.errors import InvalidRequest, NotFound, Problem
from gateway.jobs import rfc3339
from gateway.tenants import CLIENT_SCOPES, Key, Tenant, mint
from gateway.web.http.answers import json_answer
from gateway.web.http.params import Params
from gateway.web.ops import bodies, budgets
from gateway.web.ops.tenants import name_of
from gateway.web.schemas import tenants as schemas
from gateway.web.state import State, state_of

_HOUR_MS: Final = 3_600_000


async def page(request: Request, key: Key, _: Params) -> Response:
    """The tenant's keys without their secrets, oldest first."""
    resources, name = state_of(request).resources, name_of(request)
    found, tenant = await asyncio.gather(resources.client_keys.of_tenant(name), resources.tenants.read(name))
    data = [view(one, tenant) for one in found]
    return json_answer(schemas.KeyList(object="list", data=data, has_more=False, next=None))


async def create(request: Request, key: Key, _: Params) -> Response:
    """201 and the key, shown only once."""
    wanted = await bodies.read(request, key, schemas.KeyRequest)
    scopes = wanted.scopes or list(CLIENT_SCOPES)
    if beyond := [scope for scope in scopes if scope not in CLIENT_SCOPES and scope not in key.scopes]:
        message = f"your own key does not have {', '.join(beyond)}; leave it out"
        raise InvalidRequest([Problem("scopes", "not_yours_to_give", message)])
    state, tenant = state_of(request), name_of(request)
    environment = state.resources.environment
    now = environment.now_ms()
    ends = None if wanted.expires_in_hours is None else now + wanted.expires_in_hours * _HOUR_MS
    made, secret = mint(environment.entropy, now, tenant, scopes, wanted.name, expires_at=ends)
    return await _added(state, made, secret, key.id)


async def rotate(request: Request, key: Key, _: Params) -> Response:
    """201 and a new key with the same scopes, shown only once. The old key stays valid for the overlap."""
    wanted = await bodies.read(request, key, schemas.KeyRotation)
    state, old = state_of(request), await _key_of(request)
    if beyond := sorted(set(old.scopes) - set(CLIENT_SCOPES) - set(key.scopes)):
        message = f"the key has {', '.join(beyond)}, which your own key does not have"
        raise InvalidRequest([Problem("key_id", "not_yours_to_give", message)])
    environment = state.resources.environment
    now = environment.now_ms()
    until = now + wanted.overlap_seconds * 1000
    made, secret = mint(environment.entropy, now, old.tenant, old.scopes, old.name, replaces=old.id)
    return await _added(state, made, secret, key.id, min(until, old.expires_at or until))


async def change(request: Request, key: Key, _: Params) -> Response:
    """The key with its new budgets."""
    wanted = await bodies.read(request, key, schemas.KeyChange)
    tenants, changed = state_of(request).resources.tenants, await _key_of(request)
    tenant = await tenants.change(changed.tenant, budgets.changes_of(wanted.budgets, changed.id), key.id)
    return json_answer(view(changed, tenant))


async def revoke(request: Request, key: Key, _: Params) -> Response:
    """The revoked key. All processes refuse it within five seconds."""
    state, revoked = state_of(request), await _key_of(request)
    await state.resources.client_keys.revoke(revoked.id, state.resources.environment.now_ms(), by=key.id)
    tenant = await state.resources.tenants.read(revoked.tenant)
    return json_answer(view(await _key_of(request), tenant))


async def _added(state: State, made: Key, secret: str, by: str, until: int | None = None) -> Response:
    """`until`: when the replaced key expires."""
    resources = state.resources
    await resources.client_keys.add(made, until, by=by)
    keyring = resources.keyring
    signing_secret = tenant_secret(keyring, keyring.active_kid, made.tenant)
    tenant = await resources.tenants.read(made.tenant)
    answer: schemas.NewClientKey = {**view(made, tenant), "key": secret, "signing_secret": signing_secret}
    return json_answer(answer, 201)


async def _key_of(request: Request) -> Key:
    """The key in the path; NotFound."""
    key_id = request.path_params["key_id"]
    found = await state_of(request).resources.client_keys.lookup(key_id)
    if found is None:
        raise NotFound("key", key_id)
    return found


def view(key: Key, tenant: Tenant) -> schemas.ClientKey:
    """The key without its secret. `tenant`: its own."""
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
        "budgets": budgets.view(tenant.key_budgets.get(key.id, {})),
    }
