"""Identifies the viewer of a page: by an operator's key, from `Authorization` or from the cookie of a login,
or by a proxy that has signed the person in (`single_sign_on`).

The cookie is random and names a session in Redis. It grants what its key grants, until the operator signs
out, the session ends, or the key does. A form also needs its token, so that another site cannot make a
browser send one.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import ScopeMissing
from gateway.store.sessions import Session
from gateway.tenants import Key, Scope, digest_of
from gateway.web import auth
from gateway.web.http.headers import headers_of
from gateway.web.pages import single_sign_on
from gateway.web.state import State, state_of

COOKIE: Final = "vgw_ops"
HOURS: Final = 12
_COOKIE: Final = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_COOKIE_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Viewer:
    """`by`: for the audit: the id of the key, or `sso:` and the name of the person. `limited_as`: whose rate
    of requests it counts for. `token`: must be in every form; None for a key from `Authorization`, which
    browsers do not send by themselves. `earlier`: that of yesterday, which still counts.
    `sign_out`: where to sign out; "": at our own login, None: not here.
    """

    by: str
    scopes: frozenset[Scope]
    limited_as: str
    token: str | None = None
    earlier: str | None = None
    sign_out: str | None = ""

    @property
    def may_act(self) -> bool:
        return Scope.OPS_WRITE in self.scopes


class FormRefused(Exception):
    """The form is not one of ours, or has expired; the message says what to do."""


class SignIn(Exception):
    """Nobody is signed in: redirect to the login, which leads back to `path`."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.location = f"/ops/login?next={quote(path, safe='/')}"


async def viewer_of(request: Request, scope: Scope = Scope.OPS_READ) -> Viewer:
    """The viewer, whose request counts. Raises SignIn if there is no session and no key, ScopeMissing, or
    RateLimited."""
    viewer = await identify(request, scope)
    auth.limit_requests(state_of(request), viewer.limited_as)
    return viewer


async def identify(request: Request, scope: Scope = Scope.OPS_READ) -> Viewer:
    """The viewer, without counting a request. Whoever signed in with a key is that key, also behind a proxy.
    Raises SignIn, ScopeMissing, or Unauthenticated."""
    state, cookie = state_of(request), request.cookies.get(COOKIE, "")
    found = await _key_of(state, cookie)
    if found is not None:
        viewer = Viewer(found.id, found.scopes, found.tenant, _token(state, cookie))
    elif (person := single_sign_on.person_of(request)) is not None:
        by = f"sso:{person.name}"
        away = state.resources.settings.sso_sign_out_url or None
        # Such a person has no session that ends, so the day ends the token.
        day = state.resources.environment.now_ms() // 86_400_000
        today, yesterday = (_token(state, f"{one} {by}") for one in (day, day - 1))
        viewer = Viewer(by, person.scopes, by, today, yesterday, away)
    elif b"authorization" in headers_of(request):
        key = await auth.require(request, scope)
        viewer = Viewer(key.id, key.scopes, key.tenant)
    else:
        query = f"?{request.url.query}" if request.url.query else ""
        raise SignIn(f"{request.url.path}{query}" if request.method == "GET" else "/ops")
    if scope not in viewer.scopes:
        raise ScopeMissing(scope)
    return viewer


async def actor_of(request: Request, token: str | None) -> Viewer:
    """The viewer, who must be allowed to act. Raises FormRefused if the form does not come from our pages."""
    viewer = await viewer_of(request, Scope.OPS_WRITE)
    if viewer.token is not None:
        good = [one for one in (viewer.token, viewer.earlier) if one is not None]
        if not any(hmac.compare_digest(one.encode(), (token or "").encode()) for one in good):
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
    """The cookie of a new session. Raises Unauthenticated, or ScopeMissing if the key is not an
    operator's."""
    state = state_of(request)
    key = await auth.key_of(state, text)
    if Scope.OPS_READ not in key.scopes:
        raise ScopeMissing(Scope.OPS_READ)
    environment = state.resources.environment
    cookie = environment.entropy(_COOKIE_BYTES).hex()
    ends_at = environment.now_ms() + HOURS * 3_600_000
    await state.resources.sessions.begin(digest_of(cookie), Session(key.id, ends_at))
    return cookie


async def sign_out(request: Request) -> None:
    """Ends the session for every process."""
    cookie = request.cookies.get(COOKIE, "")
    if _COOKIE.match(cookie):
        await state_of(request).resources.sessions.end(digest_of(cookie))


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
    """The key of the session with this cookie; None if there is none, or if it has ended."""
    if not _COOKIE.match(cookie):
        return None
    session = await state.resources.sessions.find(digest_of(cookie))
    now = state.resources.environment.now_ms()
    if session is None or session.ends_at <= now:
        return None
    key = await state.resources.client_keys.find(session.key_id)
    return None if key is None or key.revoked_at is not None or key.expired(now) else key


def _token(state: State, of: str) -> str:
    """`of`: the cookie, or the person."""
    keyring = state.resources.keyring
    return keyring.derive(keyring.active_kid, "operator form", of).hex()
