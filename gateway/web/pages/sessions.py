"""Identifies the viewer of a page by an operator's key, from `Authorization` or from the cookie of a login.

The cookie is `<kid>.<key id>.<ends>.<hmac>` and needs no store: it grants what its key grants, until it ends
or the key is revoked. A form also needs its token, so that another site cannot make a browser send one.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import ConfigurationError, ScopeMissing
from gateway.tenants import Key, Scope
from gateway.web import auth
from gateway.web.http.headers import headers_of
from gateway.web.state import State, state_of

COOKIE: Final = "vgw_ops"
HOURS: Final = 12


@dataclass(frozen=True, slots=True)
class Viewer:
    """`token`: must be in every form; None for a key from `Authorization`, which browsers do not send by
    themselves."""

    key: Key
    token: str | None

    @property
    def may_act(self) -> bool:
        return Scope.OPS_WRITE in self.key.scopes


class FormRefused(Exception):
    """The form is not one of ours, or has expired; the message says what to do."""


class SignIn(Exception):
    """Nobody is signed in: redirect to the login, which leads back to `path`."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.location = f"/ops/login?next={quote(path, safe='/')}"


async def viewer_of(request: Request, scope: Scope = Scope.OPS_READ) -> Viewer:
    """The viewer. Raises SignIn if there is no session and no key, or ScopeMissing."""
    if b"authorization" in headers_of(request):
        return Viewer(await auth.require(request, scope), None)
    cookie = request.cookies.get(COOKIE, "")
    key = await _key_of(state_of(request), cookie)
    if key is None:
        query = f"?{request.url.query}" if request.url.query else ""
        raise SignIn(f"{request.url.path}{query}" if request.method == "GET" else "/ops")
    if scope not in key.scopes:
        raise ScopeMissing(scope)
    return Viewer(key, _token(state_of(request), cookie))


async def actor_of(request: Request, token: str | None) -> Viewer:
    """The viewer, who must be allowed to act. Raises FormRefused if the form does not come from our pages."""
    viewer = await viewer_of(request, Scope.OPS_WRITE)
    if viewer.token is not None:
        if not hmac.compare_digest(viewer.token.encode(), (token or "").encode()):
            raise FormRefused("this form has expired; go back, load the page again and send it once more")
        refuse_foreign(request)
    return viewer


def refuse_foreign(request: Request) -> None:
    """Raises FormRefused if the form was sent from another site."""
    headers = headers_of(request)
    host = headers.get(b"host", b"")
    foreign = headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none")
    if foreign or headers.get(b"origin", b"://" + host).partition(b"://")[2] != host:
        raise FormRefused("this form was sent from another site")


async def sign_in(request: Request, text: str) -> str:
    """The cookie's value. Raises Unauthenticated, or ScopeMissing if the key is not an operator's."""
    key = await auth.key_of(state_of(request), text)
    if Scope.OPS_READ not in key.scopes:
        raise ScopeMissing(Scope.OPS_READ)
    keyring = state_of(request).resources.keyring
    ends = state_of(request).resources.environment.now_ms() // 1000 + HOURS * 3600
    body = f"{keyring.active_kid}.{key.id}.{ends}"
    return f"{body}.{_mac(state_of(request), keyring.active_kid, body)}"


def keep(request: Request, response: Response, cookie: str) -> None:
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=HOURS * 3600 if cookie else 0,
        path="/ops",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


async def _key_of(state: State, cookie: str) -> Key | None:
    body, _, mac = cookie.rpartition(".")
    kid, _, rest = body.partition(".")
    key_id, _, ends = rest.partition(".")
    if not mac.isascii() or not ends.isdecimal():
        return None
    try:
        if not hmac.compare_digest(_mac(state, kid, body), mac):
            return None
    except ConfigurationError:  # signed with a key that is no longer in the keyring
        return None
    now = state.resources.environment.now_ms()
    if int(ends) * 1000 < now:
        return None
    key = await state.resources.client_keys.find(key_id)
    return None if key is None or key.revoked_at is not None or key.expired(now) else key


def _mac(state: State, kid: str, body: str) -> str:
    return state.resources.keyring.derive(kid, "operator session", body).hex()


def _token(state: State, cookie: str) -> str:
    keyring = state.resources.keyring
    return keyring.derive(keyring.active_kid, "operator form", cookie).hex()
