"""Operations for event streams: server-sent events of one job, or of all jobs of a tenant, with replay."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import NotFound
from gateway.events import ALL, EventType
from gateway.jobs import JOB_ID
from gateway.tenants import Key
from gateway.web.api.event_stream import JobStream, TenantStream
from gateway.web.http.params import InvalidValue, Param, Params, text
from gateway.web.streams.hub import Listener

_MAX_TYPES: Final = 20
_LIST: Final = re.compile(rf"[a-z_.*]{{1,32}}(,[a-z_.*]{{1,32}}){{0,{_MAX_TYPES - 1}}}\Z")
_PLACE: Final = "^[0-9]{1,15}(-[0-9]{1,15})?$"


def _types(text: str) -> frozenset[str] | None:
    """The event types; None: all."""
    if not _LIST.match(text):
        raise InvalidValue("wrong_form", f"is not a list of up to {_MAX_TYPES} types separated by commas")
    wanted = frozenset(text.split(","))
    if wanted & ALL:
        return None
    if unknown := sorted(wanted - set(EventType)):
        message = f"there is no {', '.join(unknown)}; send some of {', '.join(EventType)}, or job.*"
        raise InvalidValue("not_one_of", message)
    return wanted


def _last_id(text: str) -> str | None:
    """None for an empty id, which an EventSource without an id may send."""
    if text and not re.fullmatch(_PLACE, text):
        raise InvalidValue("wrong_form", "send the id of an event as received: <ms>-<number>")
    return text or None


TYPES: Final[Param[frozenset[str] | None]] = Param(
    "types",
    "Only events of these types, separated by commas.",
    {
        "type": "array",
        "minItems": 1,
        "maxItems": _MAX_TYPES,
        "items": {"type": "string", "enum": [*sorted(ALL), *EventType]},
    },
    _types,
    None,
    serialization={"style": "form", "explode": False},
)
AFTER: Final = text(
    "after",
    "Only events after this one; `0`: from the oldest event that is kept.",
    _PLACE,
    "the id of an event: <ms>-<number>",
)
LAST_EVENT_ID: Final[Param[str | None]] = Param(
    "Last-Event-ID",
    "Only events after this one. It takes precedence over `after`.",
    {"type": "string", "pattern": _PLACE},
    _last_id,
    None,
)


async def of_tenant(request: Request, key: Key, params: Params) -> Response:
    """Streams the events of the tenant's jobs, from now on or after `Last-Event-ID`, filtered by
    `?types=`."""
    return TenantStream(request, key, Listener(params[TYPES]), _after(params))


async def of_job(request: Request, key: Key, params: Params) -> Response:
    """Streams a job's past events, then new ones, until the job is finished."""
    name = request.path_params["job_id"]
    if not JOB_ID.match(name):
        raise NotFound("job", "of this form; ids look like job_ and 26 letters and digits")
    return JobStream(request, key, Listener(job_id=name), _after(params))


def _after(params: Params) -> str | None:
    """The id to continue after. The header wins, because a client reconnects with the same URL."""
    return params[LAST_EVENT_ID] or params[AFTER]
