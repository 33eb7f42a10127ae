"""`/` says what this is and where to read on: a page for people, JSON for programs."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.web.http.answers import json_answer, wants_html
from gateway.web.openapi import plain_pages

_ABOUT: Final = "A gateway before a slow, paid video API. It loses no accepted job and never pays twice."
_LINKS: Final = {
    "docs": ("/docs", "every operation, with examples"),
    "openapi": ("/openapi.json", "the same as an OpenAPI document"),
    "errors": ("/docs/errors", "what each error means, and the way out"),
    "health": ("/readyz", "whether the service takes jobs"),
}
_FOR_OPERATORS: Final = '<p><a href="/ops">/ops</a>: pages for operators</p>'


async def show(request: Request) -> Response:
    if not wants_html(request.scope):
        links = {name: path for name, (path, _) in _LINKS.items()}
        return json_answer(
            {"name": "vidu-gateway", "version": version("vidu-gateway"), **links}, 200, plain_pages.VARY
        )
    rows = "".join(f'<li><a href="{path}">{path}</a>: {text}</li>' for path, text in _LINKS.values())
    return plain_pages.answer("vidu-gateway", f"<p>{_ABOUT}</p><ul>{rows}</ul>{_FOR_OPERATORS}")


ROUTE: Final = Route("/", show)
