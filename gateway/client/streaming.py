"""Event streams (server-sent events), which go on after the last event when the connection breaks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import errors
from .models import Event, Job
from .records import read
from .requests import Request, backoff, opened
from .steps import Item, Steps, chunk, pause
from .waiting import PASSING

# The gateway sends something every 15 s: after three missed comments the connection counts as dead.
_SILENCE_SECONDS: Final = 45.0
_RETRY_SECONDS: Final = 2.0
_LEAST_RETRY_SECONDS: Final = 0.1
_LONGEST_RETRY_SECONDS: Final = 60.0
_LONGEST_PAUSE_SECONDS: Final = 30.0
_LONGEST_RETRY_AFTER_SECONDS: Final = 60.0
# The id is sent back in a header, so it may contain only what a header can hold.
_ID: Final = re.compile(rb"[!-~]{1,64}")
_FINAL_TYPES: Final = frozenset({"job.completed", "job.failed", "job.canceled"})

#: Called when a stream is opened, and each time when it is opened again.
Connected = Callable[[], None]
#: Called when a stream broke: why, and the seconds until it is opened again.
Reconnecting = Callable[[str, float], None]


@dataclass(slots=True)
class Parser:
    """Parses an event stream as the HTML standard says. `last_id`: position after the messages so far;
    `retry_seconds`: what the server wants. A message that is cut off is dropped."""

    last_id: str = ""
    retry_seconds: float = _RETRY_SECONDS
    _rest: bytes = b""
    _event: str = ""
    _id: str = ""
    _data: list[bytes] = field(default_factory=list)

    def begin(self) -> None:
        """A new connection."""
        self._rest, self._event, self._data, self._id = b"", "", [], self.last_id

    def feed(self, piece: bytes) -> Iterator[tuple[str, bytes, str]]:
        """Type, data and position of each message. `last_id` is the position of the message when the next
        one is wanted, so that one whose handling failed comes again."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            line = line.rstrip(b"\r")
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            match name:
                case b"data":
                    self._data.append(value)
                case b"event":
                    self._event = value.decode(errors="replace")
                case b"id" if _ID.fullmatch(value):
                    self._id = value.decode()
                case b"retry" if value.isdigit():
                    wanted = int(value[:9]) / 1000
                    self.retry_seconds = max(_LEAST_RETRY_SECONDS, min(wanted, _LONGEST_RETRY_SECONDS))
                case b"" if not line:
                    if self._data:
                        yield self._event or "message", b"\n".join(self._data), self._id
                    self.last_id, self._event, self._data = self._id, "", []


def stream(
    path: str,
    query: Mapping[str, Any],
    after: str | None,
    connected: Connected | None,
    reconnecting: Reconnecting | None,
) -> Steps[Event]:
    """The events, for ever; those of one job, until it is finished. The first connection fails as every
    request does; later ones are tried until the gateway refuses them."""
    parser = Parser(last_id=after or "")
    opens = failures = 0
    of_job = "/jobs/" in path
    while True:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        headers |= {"Last-Event-ID": parser.last_id} if parser.last_id else {}
        retries = 0 if opens else None
        request = Request("GET", path, query, headers, seconds=_SILENCE_SECONDS, retries=retries)
        least = 0.0
        try:
            head = yield from opened(request)
            if head.status == 204:
                return
            if not head.headers.get("content-type", "").startswith("text/event-stream"):
                raise errors.GatewayError(f"{head.request} got no event stream: is it a vidu-gateway?")
            opens += 1
            failures = 0
            parser.begin()
            if connected is not None:
                connected()
            while piece := (yield from chunk()):
                for kind, data, position in parser.feed(piece):
                    yield Item(event(position, kind, data))
                    if of_job and kind in _FINAL_TYPES:
                        return
            reason = "the gateway ended the stream"
        except PASSING as error:
            if not opens:
                raise
            reason, least = str(error), min(error.retry_after or 0.0, _LONGEST_RETRY_AFTER_SECONDS)
        wait = max(least, backoff(failures, _LONGEST_PAUSE_SECONDS, first=parser.retry_seconds))
        failures += 1
        if reconnecting is not None:
            reconnecting(reason, wait)
        yield from pause(wait)


def event(position: str, kind: str, data: bytes) -> Event:
    """The event in a message or in the body of a webhook. What is no event of a job has no `job`."""
    try:
        given = json.loads(data)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        return Event(id=position, type=kind, body=data)
    found = read(Event, {**given, "id": position, "type": kind})
    job = given.get("data")
    shown = read(Job, job) if isinstance(job, dict) and {"id", "status"} <= job.keys() else None
    return Event(id=position, type=kind, timestamp=found.timestamp, job=shown, body=data, raw=given)
