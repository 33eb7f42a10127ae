"""The operations by which operators see to tenants and keys, in the API's document."""

from __future__ import annotations

from gateway.tenants import Scope
from gateway.web.openapi.parts import Document, answer, change, operation, path, query
from gateway.web.ops.tenants import PAGE_DEFAULT, PAGE_MAX
from gateway.web.schemas import ops
from gateway.web.schemas import tenants as tenant_schemas


def tenants() -> Document:
    tenant = path("tenant", ops.TENANT)
    key = path("key_id", tenant_schemas.KEY_ID)
    return {
        "/ops/api/tenants": {"get": _list_tenants(), "post": _create_tenant()},
        "/ops/api/tenants/{tenant}": {
            "parameters": [tenant],
            "get": _show_tenant(),
            "put": _put_tenant(),
            "patch": _change_tenant(),
        },
        "/ops/api/tenants/{tenant}/pause": {"parameters": [tenant], "post": _pause_tenant()},
        "/ops/api/tenants/{tenant}/resume": {"parameters": [tenant], "post": _resume_tenant()},
        "/ops/api/tenants/{tenant}/keys": {
            "parameters": [tenant],
            "get": _list_keys(),
            "post": _create_key(),
        },
        "/ops/api/keys/{key_id}/rotate": {"parameters": [key], "post": _rotate_key()},
        "/ops/api/keys/{key_id}/revoke": {"parameters": [key], "post": _revoke_key()},
    }


def _list_tenants() -> Document:
    limit = {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT}
    return operation(
        "listTenants",
        "Tenants, by name",
        Scope.OPS_READ,
        {"200": answer("A page.", tenant_schemas.TenantList)},
        400,
        parameters=[
            query("after", "Later than this name.", {"type": "string", "pattern": ops.TENANT}),
            query("limit", "At most so many.", limit),
        ],
    )


def _create_tenant() -> Document:
    answers = {"201": answer("The tenant.", tenant_schemas.TenantSettings)}
    body = tenant_schemas.NewTenantRequest
    return change("createTenant", "Make a tenant, or change the one of this name", answers, body)


def _show_tenant() -> Document:
    answers = {"200": answer("Its settings.", tenant_schemas.TenantSettings)}
    return operation("showTenant", "What was set for a tenant", Scope.OPS_READ, answers, 400, 404)


def _put_tenant() -> Document:
    answers = {"200": answer("Its settings.", tenant_schemas.TenantSettings)}
    body = tenant_schemas.TenantRequest
    return change("chooseForTenant", "Choose what becomes of unknown outcomes", answers, body, 404)


def _change_tenant() -> Document:
    answers = {"200": answer("Its settings.", tenant_schemas.TenantSettings)}
    return change("changeTenant", "Set what a tenant may do", answers, tenant_schemas.TenantChange, 404)


def _pause_tenant() -> Document:
    answers = {"200": answer("Paused.", tenant_schemas.TenantSettings)}
    return change("pauseTenant", "Send nothing of a tenant", answers, ops.ParkRequest, 404)


def _resume_tenant() -> Document:
    answers = {"200": answer("Not paused.", tenant_schemas.TenantSettings)}
    return operation("resumeTenant", "Send a tenant's jobs again", Scope.OPS_WRITE, answers, 400, 404)


def _list_keys() -> Document:
    answers = {"200": answer("All of them, without their secrets.", tenant_schemas.KeyList)}
    return operation("listKeys", "A tenant's keys", Scope.OPS_READ, answers, 400, 404)


def _create_key() -> Document:
    answers = {"201": answer("The key, shown this once.", tenant_schemas.NewClientKey)}
    return change("createKey", "Make a key", answers, tenant_schemas.KeyRequest, 404)


def _rotate_key() -> Document:
    answers = {"201": answer("The new key, shown this once.", tenant_schemas.NewClientKey)}
    return change("rotateKey", "Replace a key", answers, tenant_schemas.KeyRotation, 404)


def _revoke_key() -> Document:
    answers = {"200": answer("Revoked.", tenant_schemas.ClientKey)}
    return operation("revokeKey", "End a key", Scope.OPS_WRITE, answers, 400, 404)
