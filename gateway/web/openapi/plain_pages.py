"""Small pages for people who follow a link in an answer. They need no script."""

from __future__ import annotations

from html import escape
from typing import Final

from starlette.responses import HTMLResponse, Response

_STYLE: Final = "/docs/plain.css"


#: Of a page and of the JSON at the same address.
VARY: Final = {"vary": "accept"}
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    **VARY,
}


def answer(title: str, content: str) -> Response:
    """`content`: HTML."""
    whole = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} - vidu-gateway</title>"
        f'<link rel="icon" href="data:,"><link rel="stylesheet" href="{_STYLE}"></head>'
        '<body><header><a href="/">vidu-gateway</a><nav><a href="/docs">API</a> '
        '<a href="/docs/errors">errors</a></nav></header>'
        f"<main><h1>{escape(title)}</h1>{content}</main></body></html>"
    )
    return HTMLResponse(whole, headers=_HEADERS)
