"""Login to the pages with an operator's key, and logout."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.errors import ScopeMissing, Unauthenticated
from gateway.web.pages import forms, sessions
from gateway.web.pages.rendering import render
from gateway.web.state import state_of

#: Allowed redirects after the login: only our own pages.
_NEXT: Final = re.compile(r"/ops(/[A-Za-z0-9_./-]*)?(\?[A-Za-z0-9_.=&%-]*)?\Z")


async def show(request: Request) -> Response:
    return render(request, "login.html", refused=None, next=_next(request.query_params.get("next")))


async def sign_in(request: Request) -> Response:
    form = await forms.read(request)
    sessions.refuse_foreign(request)
    following = _next(form.get("next"))
    state_of(request).login_limits.count(request.client.host if request.client else "")
    try:
        cookie = await sessions.sign_in(request, form.get("key", ""))
    except Unauthenticated:
        why = "This key is not valid, was revoked, or has expired."
        return render(request, "login.html", status=401, refused=why, next=following)
    except ScopeMissing as error:
        why = f"This key cannot open these pages: it lacks the scope {error.scope}."
        return render(request, "login.html", status=403, refused=why, next=following)
    response = RedirectResponse(following, 303)
    sessions.keep(request, response, cookie)
    return response


async def sign_out(request: Request) -> Response:
    await forms.read(request)
    sessions.refuse_foreign(request)
    await sessions.sign_out(request)
    response = RedirectResponse("/ops/login", 303)
    sessions.keep(request, response, "")
    return response


def _next(text: str | None) -> str:
    return text if text and _NEXT.match(text) and "//" not in text else "/ops"
