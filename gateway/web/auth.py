"""Authenticates requests: `Authorization: Bearer vgw_<id>_<secret>` -> the key, if it has the scope."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from typing import Final

from starlette.requests import Request

from gateway.errors import RateLimited, ScopeMissing, Unauthenticated
from gateway.tenants import Key, Scope, digest_of, split_key
from gateway.web.http.headers import headers_of
from gateway.web.state import State, state_of

_NO_SECRET: Final = digest_of("")
_SEND: Final = "send Authorization: Bearer with a key of this service, vgw_..."


async def require(request: Request, *scopes: Scope, schemes: Collection[bytes] = (b"bearer",)) -> Key:
    """The request's key. `schemes`: of the header Authorization, in lower case. Raises Unauthenticated (no
    key, or an unknown, revoked or expired one), or ScopeMissing with the first of `scopes` if it has none of
    them."""
    scheme, _, text = headers_of(request).get(b"authorization", b"").partition(b" ")
    if scheme.lower() not in schemes:
        raise Unauthenticated(_SEND)
    key = await key_of(state_of(request), text.decode("latin-1"))
    if key.scopes.isdisjoint(scopes):
        raise ScopeMissing(scopes[0])
    return key


def limit_requests(state: State, tenant: str) -> None:
    """Counts a request of the tenant. Raises RateLimited if it sends too many."""
    if wait := state.requests.wait(tenant):
        settings = state.resources.settings
        raise RateLimited(
            f"this tenant may send {settings.tenant_request_burst} requests at once, then "
            f"{settings.tenant_request_rate:g} per second; send the next one in {wait} s",
            wait,
            None,
        )


async def key_of(state: State, text: str) -> Key:
    """The key with this text. Raises Unauthenticated if it is malformed, unknown, revoked or expired."""
    named = split_key(text.strip())
    if named is None:
        raise Unauthenticated(_SEND)
    key_id, secret = named
    key = await state.resources.client_keys.find(key_id)
    if key is None:
        # Refusing an unknown key must take as long as refusing a wrong secret.
        hmac.compare_digest(_NO_SECRET, digest_of(secret))
        raise Unauthenticated("this key is not known, or was revoked")
    if not key.matches(secret):
        raise Unauthenticated("this key is not known, or was revoked")
    now = state.resources.environment.now_ms()
    if key.expired(now):
        raise Unauthenticated("this key has expired; use the key that replaced it, or ask for a new one")
    state.resources.client_keys.note_use(key.id, now)
    return key
