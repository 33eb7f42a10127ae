"""Who is asking: `Authorization: Bearer vgw_<id>_<secret>` -> the key, with the scope that is needed."""

from __future__ import annotations

import hmac
from typing import Final

from starlette.requests import Request

from gateway.errors import ScopeMissing, Unauthenticated
from gateway.tenants import Key, Scope, digest_of, split_key
from gateway.web.heads import headers_of
from gateway.web.state import state_of

_NOBODY: Final = digest_of("")


async def require(request: Request, scope: Scope) -> Key:
    """The key of this request. Unauthenticated (absent, unknown, revoked) or ScopeMissing."""
    scheme, _, text = headers_of(request).get(b"authorization", b"").partition(b" ")
    named = split_key(text.strip().decode("latin-1")) if scheme.lower() == b"bearer" else None
    if named is None:
        raise Unauthenticated("send Authorization: Bearer with a key of this service, vgw_...")
    key_id, secret = named
    key = await state_of(request).resources.client_keys.find(key_id)
    if key is None:
        # An unknown key takes as long to refuse as a wrong one.
        hmac.compare_digest(_NOBODY, digest_of(secret))
        raise Unauthenticated("this key is not known, or was revoked")
    if not key.opens(secret):
        raise Unauthenticated("this key is not known, or was revoked")
    now = state_of(request).resources.environment.now_ms()
    if key.expired(now):
        raise Unauthenticated("this key has expired; use the one that was made for it, or ask for a new one")
    state_of(request).resources.client_keys.note_use(key.id, now)
    if scope not in key.scopes:
        raise ScopeMissing(scope)
    return key
