"""All operators' operations on tenants and their keys, one entry each."""

from __future__ import annotations

from typing import Final

from gateway.tenants import Scope
from gateway.web.operation import LOCATION, Operation, Reply
from gateway.web.ops import keys, tenants
from gateway.web.ops.filters import LIMIT
from gateway.web.schemas import tenants as schemas
from gateway.web.schemas.ops import PauseRequest

_READ: Final = (Scope.OPS_READ,)
_WRITE: Final = (Scope.OPS_WRITE,)

TENANTS: Final = (
    Operation(
        "GET", "/ops/api/tenants", "listTenants", "List tenants by name", tenants.page,
        {200: Reply("A page of tenants.", schemas.TenantList)},
        _READ, query=(tenants.AFTER, LIMIT),
    ),
    Operation(
        "POST", "/ops/api/tenants", "createTenant", "Create a tenant, or update an existing one",
        tenants.create,
        {201: Reply("The tenant.", schemas.TenantSettings, LOCATION)},
        _WRITE, body=schemas.NewTenantRequest,
    ),
    Operation(
        "GET", "/ops/api/tenants/{tenant}", "getTenant", "Get the settings of a tenant", tenants.show,
        {200: Reply("The tenant.", schemas.TenantSettings)},
        _READ,
    ),
    Operation(
        "PATCH", "/ops/api/tenants/{tenant}", "updateTenant", "Change the settings of a tenant",
        tenants.update,
        {200: Reply("The tenant.", schemas.TenantSettings)},
        _WRITE, body=schemas.TenantChange,
    ),
    Operation(
        "POST", "/ops/api/tenants/{tenant}/pause", "pauseTenant", "Stop sending a tenant's jobs",
        tenants.pause,
        {200: Reply("The tenant is paused.", schemas.TenantSettings)},
        _WRITE, body=PauseRequest,
    ),
    Operation(
        "POST", "/ops/api/tenants/{tenant}/resume", "resumeTenant", "Send a tenant's jobs again",
        tenants.resume,
        {200: Reply("The tenant is not paused.", schemas.TenantSettings)},
        _WRITE,
    ),
    Operation(
        "GET", "/ops/api/tenants/{tenant}/keys", "listKeys", "List a tenant's keys", keys.page,
        {200: Reply("All keys of the tenant, without their secrets.", schemas.KeyList)},
        _READ,
    ),
    Operation(
        "POST", "/ops/api/tenants/{tenant}/keys", "createKey", "Create a key", keys.create,
        {201: Reply("The key, shown only once.", schemas.NewClientKey)},
        _WRITE, body=schemas.KeyRequest,
    ),
    Operation(
        "PATCH", "/ops/api/keys/{key_id}", "updateKey", "Change the budgets of a key", keys.change,
        {200: Reply("The key.", schemas.ClientKey)},
        _WRITE, body=schemas.KeyChange,
    ),
    Operation(
        "POST", "/ops/api/keys/{key_id}/rotate", "rotateKey", "Replace a key", keys.rotate,
        {201: Reply("The new key, shown only once.", schemas.NewClientKey)},
        _WRITE, body=schemas.KeyRotation,
    ),
    Operation(
        "POST", "/ops/api/keys/{key_id}/revoke", "revokeKey", "Revoke a key", keys.revoke,
        {200: Reply("The key is revoked.", schemas.ClientKey)},
        _WRITE,
    ),
)  # fmt: skip
