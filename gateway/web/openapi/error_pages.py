"""The catalogue of errors, at /docs/errors: pages for people, JSON for programs."""

from __future__ import annotations

import re
from html import escape
from typing import Final, TypedDict

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.web.http.answers import json_answer, wants_html
from gateway.web.http.problem_catalogue import CATALOGUE, Retry, types_of
from gateway.web.http.problem_types import PREFIX
from gateway.web.http.problems import Refusal
from gateway.web.openapi.plain_pages import VARY, answer

_RETRY: Final[dict[Retry, str]] = {
    "never": "No. The same request gets the same answer.",
    "wait": "Yes, after Retry-After. Nothing was accepted.",
    "doubt": "Yes, after Retry-After, a POST with the same Idempotency-Key: it may have been accepted.",
}
_CODE: Final = re.compile("`([^`]+)`")


class ErrorEntry(TypedDict):
    type: str
    status: int
    title: str
    meaning: str
    way_out: str
    retry: Retry


def _entry(name: str) -> ErrorEntry:
    kind, found = types_of(name)[0], CATALOGUE[name]
    return {
        "type": PREFIX + name,
        "status": kind.status,
        "title": kind.title,
        "meaning": found.meaning,
        "way_out": found.way_out,
        "retry": found.retry,
    }


async def show_all(request: Request) -> Response:
    """Every error."""
    if not wants_html(request.scope):
        return json_answer({"object": "list", "data": [_entry(name) for name in CATALOGUE]}, 200, VARY)
    return _list_page()


async def show(request: Request) -> Response:
    """One error."""
    name = request.path_params["name"]
    if name not in CATALOGUE:
        raise Refusal(404, "there is no such error; /docs/errors lists all")
    if not wants_html(request.scope):
        return json_answer(_entry(name), 200, VARY)
    return _error_page(name)


def _list_page() -> Response:
    rows = "".join(
        f'<tr><td>{entry["status"]}</td><td><a href="{entry["type"]}">{name}</a></td>'
        f"<td>{_text(entry['meaning'])}</td></tr>"
        for name in sorted(CATALOGUE, key=lambda one: (types_of(one)[0].status, one))
        for entry in (_entry(name),)
    )
    head = "<tr><th>status</th><th>error</th><th>meaning</th></tr>"
    about = "<p>What the <code>type</code> of a problem means, and the way out.</p>"
    return answer("Errors", f"{about}<table><thead>{head}</thead><tbody>{rows}</tbody></table>")


def _error_page(name: str) -> Response:
    entry = _entry(name)
    parts = [
        f"<p><b>{entry['status']}</b> {escape(entry['title'])}</p>",
        f"<h2>What it means</h2><p>{_text(entry['meaning'])}</p>",
        f"<h2>The way out</h2><p>{_text(entry['way_out'])}</p>",
        f"<h2>Send it again?</h2><p>{_RETRY[entry['retry']]}</p>",
        "<p>The <code>request_id</code> of a problem is the id under which operators find the request.</p>",
        f'<p><a href="{PREFIX.rstrip("/")}">All errors</a></p>',
    ]
    return answer(name, "".join(parts))


def _text(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))


ROUTES: Final = [
    Route(PREFIX.rstrip("/"), show_all),
    Route(f"{PREFIX}{{name}}", show),
]
