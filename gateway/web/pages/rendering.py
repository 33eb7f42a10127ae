"""Renders templates: common values, formats of numbers and times, and the Content-Security-Policy."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gateway.jobs import rfc3339
from gateway.money.amounts import MICRO, to_text
from gateway.web.http.params import Param
from gateway.web.pages.sessions import Viewer
from gateway.web.state import State, state_of

ASSETS: Final = Path(__file__).parents[1] / "static" / "ops"
_TEMPLATES: Final = Path(__file__).with_name("templates")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "media-src {media}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
#: The action that was just done, which the page confirms.
SAID: Final[Param[str | None]] = Param("said", "What was done.", {"type": "string"}, str, None)
_STEPS: Final = ((86_400, "d"), (3600, "h"), (60, "min"))
_BYTES: Final = 1024
_HOST: Final = re.compile(r"[0-9A-Za-z._-]+|[0-9A-Fa-f:.]+")
#: The pages in the navigation, and their titles.
PAGES: Final[Mapping[str, str]] = {
    "/ops": "Overview",
    "/ops/queue": "Queue",
    "/ops/jobs": "Jobs",
    "/ops/tenants": "Tenants",
    "/ops/deliveries": "Webhooks",
    "/ops/endpoints": "Endpoints",
    "/ops/upstream": "Upstream",
    "/ops/spend": "Spend",
    "/ops/log": "Log",
}


def render(
    request: Request,
    template: str,
    viewer: Viewer | None = None,
    *,
    status: int = 200,
    media: Iterable[str] = (),
    **values: Any,
) -> Response:
    """The page as a response. `media`: URLs of videos that the page may load."""
    path = request.url.path
    here = max(
        (page for page in PAGES if path == page or path.startswith(f"{page}/")), key=len, default="/ops"
    )
    text = _ENVIRONMENT.get_template(template).render(
        viewer=viewer,
        pages=PAGES,
        here=here,
        path=path,
        now=_now(request),
        query=request.query_params,
        **values,
    )
    origins = " ".join(sorted({"'self'", *filter(None, map(_origin, media))}))
    headers = {
        "content-security-policy": _POLICY.format(media=origins),
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
    }
    return HTMLResponse(text, status, headers)


def _now(request: Request) -> float:
    state: State = state_of(request)
    return state.resources.environment.now_ms() / 1000


def _origin(url: str) -> str | None:
    """The origin for the Content-Security-Policy; None if it is not an http URL with a host. The URL is the
    upstream's, so anything may be in it."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        return None
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" if port is None else f"{parts.scheme}://{shown}:{port}"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def span(seconds: float | None) -> str:
    """A length of time, to two units: 42 s, 3 min, 2 h 5 min, 4 d 3 h."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds > 0 else "0 s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    units = [*_STEPS]
    for at, (size, name) in enumerate(units):
        whole, rest = divmod(int(seconds), size)
        if whole:
            below = units[at + 1] if at + 1 < len(units) else None
            minor = rest // below[0] if below else 0
            return f"{whole} {name} {minor} {below[1]}" if below and minor else f"{whole} {name}"
    raise AssertionError("a minute or more has a unit")


def money(micros: int) -> str:
    """An amount with two decimals, or as many as it has, at most four."""
    whole, part = divmod(round(abs(micros), -2), MICRO)
    decimals = f"{part // 100:04d}"
    return f"{'-' if micros < 0 else ''}{whole:,}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def moment(ms: int) -> Markup:
    """A time in ms in readable form."""
    return when(rfc3339(ms))


def size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < _BYTES:
            return f"{count:,.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= _BYTES
    return f"{count:.1f} TB"


def when(text: str | None, never: str = "–") -> Markup:
    """A time of the API in readable form, or `never`; the script on the page adds its age."""
    if text is None:
        return Markup("{}").format(never)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(text, text, _readable(text))


def _readable(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%b %d, %H:%M:%S")


def planned(text: str | None, now: float, past: str, before: str = "", never: str = "–") -> Markup:
    """A time that something is planned for, after the words `before`; once it has passed, only the words
    `past`, to which the script on the page changes it too. `now`: seconds."""
    if text is None:
        return Markup("{}").format(never)
    if has_passed(text, now):
        return Markup("{}").format(past)
    time = Markup('<time datetime="{}" data-past="{}">{}</time>').format(text, past, _readable(text))
    return Markup('<span class="planned">{}{}</span>').format(before, time)


def has_passed(text: str | None, now: float) -> bool:
    return text is not None and datetime.fromisoformat(text).timestamp() <= now


def asset(name: str) -> str:
    """The URL of a static file. It changes with the file's contents."""
    return f"/ops/static/{name}?v={_DIGESTS[name]}"


def address(path: str, **query: object) -> str:
    """The path with all query parameters that have a value."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


_DIGESTS: Final = {
    str(file.relative_to(ASSETS)): hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    for file in ASSETS.rglob("*")
    if file.is_file()
}
_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_ENVIRONMENT.filters |= {
    "number": number,
    "span": span,
    "size": size,
    "money": money,
    "decimal": to_text,
    "moment": moment,
    "when": when,
}
_ENVIRONMENT.globals |= {"asset": asset, "address": address, "planned": planned, "has_passed": has_passed}
