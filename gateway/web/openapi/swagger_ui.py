"""Serves Swagger UI 5.35.0 at /docs. The page loads nothing from other hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route

from gateway.web.doors.routes import OF_DOORS
from gateway.web.http.assets import Assets
from gateway.web.openapi import error_pages
from gateway.web.state import state_of

_PAGE: Final = Path(__file__).with_name("docs.html").read_text("utf-8")
_ASSETS: Final = Path(__file__).parents[1] / "static"
#: Swagger UI uses inline styles and data URIs for images; scripts are loaded only from this host.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


async def show_page(request: Request) -> Response:
    """The page, with a link for each door that is open."""
    opened = state_of(request).resources.settings.doors
    links = "".join(f'<a href="/docs?api={door}">{door}</a>\n' for door in OF_DOORS if door in opened)
    return HTMLResponse(_PAGE.replace("<!-- doors -->", links), headers=_HEADERS)


ROUTES: Final = [
    Route("/docs", show_page),
    *error_pages.ROUTES,
    Mount("/docs", Assets(directory=_ASSETS)),
]
