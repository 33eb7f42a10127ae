"""A client of the gateway's event stream (server-sent events), over the standard library alone.

It remembers the id of the last message that was dealt with, and goes on after it (`Last-Event-ID`).
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Final
from urllib.parse import quote, urlsplit

from gateway.errors import GatewayError, Unavailable

_CONNECT_SECONDS: Final = 10.0
# The gateway says something every 15 s: three silences in a row, and the connection is dead.
_SILENCE_SECONDS: Final = 45.0
_MAX_DETAIL_BYTES: Final = 65_536
_RETRY_SECONDS: Final = 2.0
_MIN_RETRY_SECONDS: Final = 0.1
_MAX_RETRY_SECONDS: Final = 60.0
# It goes into a header again: nothing but what one can hold.
_ID: Final = re.compile(rb"[!-~]{1,64}")
# Of the 4xx, these alone may go by themselves.
_RETRYABLE: Final = frozenset({408, 425, 429})


class Refused(GatewayError):
    """The gateway will not answer this request otherwise: a wrong key, no scope, not a gateway at all."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message: `data` are the bytes as they came."""

    event: str
    data: bytes


class EventStream:
    """`types`: which events; `last_id`: the last message dealt with; `opens`: how often it was open."""

    def __init__(self, url: str, key: str, types: Sequence[str]) -> None:
        self._url = urlsplit(url.rstrip("/"))
        self._key = key
        self._types = types
        self.last_id = ""
        self.opens = 0
        self.retry_seconds = _RETRY_SECONDS
        self.least_wait_seconds = 0.0

    def messages(self, opened: Callable[[], None]) -> Iterator[Message]:
        """The messages of one connection, until the gateway ends it. A message counts as dealt with when the
        next one is asked for. Raises Refused, or Unavailable for what may be better on another try."""
        with self._unavailable_for_errors(), contextlib.closing(self._connection()) as connection:
            response = self._answer(connection)
            self.opens += 1
            self.least_wait_seconds = 0.0
            opened()
            yield from self._parsed(response)

    @contextlib.contextmanager
    def _unavailable_for_errors(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise Unavailable(f"{self._host} is silent") from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "strerror", None) or repr(error)
            raise Unavailable(f"{self._host} cannot be reached ({reason})") from None

    @property
    def _host(self) -> str:
        return f"the gateway at {self._url.scheme}://{self._url.netloc}"

    def _connection(self) -> HTTPConnection:
        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        return kind(self._url.hostname or "", self._url.port, timeout=_CONNECT_SECONDS)

    def _answer(self, connection: HTTPConnection) -> HTTPResponse:
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "text/event-stream"}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        types = quote(",".join(self._types), safe=",.")
        connection.request("GET", f"{self._url.path}/v1/events?types={types}", headers=headers)
        assert connection.sock is not None
        connection.sock.settimeout(_SILENCE_SECONDS)
        response = connection.getresponse()
        if response.status != 200:
            raise self._refusal(response)
        if response.headers.get_content_type() != "text/event-stream":
            raise Refused(f"{self._host} does not answer with an event stream: is this a vidu-gateway?")
        return response

    def _refusal(self, response: HTTPResponse) -> GatewayError:
        detail = _detail(response.read(_MAX_DETAIL_BYTES))
        text = f"{self._host} answered {response.status} to GET /v1/events: {detail or response.reason}"
        if 300 <= response.status < 500 and response.status not in _RETRYABLE:
            return Refused(text)
        asked = response.headers.get("Retry-After", "")
        self.least_wait_seconds = min(float(asked), _MAX_RETRY_SECONDS) if asked.isdecimal() else 0.0
        return Unavailable(text)

    def _parsed(self, lines: Iterable[bytes]) -> Iterator[Message]:
        """As the HTML standard reads an event stream; a message that is cut off is none."""
        event, data, last_id = "", list[bytes](), self.last_id
        for line in lines:
            name, _, value = line.rstrip(b"\r\n").partition(b":")
            value = value.removeprefix(b" ")
            match name:
                case b"data":
                    data.append(value)
                case b"event":
                    event = value.decode(errors="replace")
                case b"id" if _ID.fullmatch(value):
                    last_id = value.decode()
                case b"retry" if value.isdigit():
                    wanted = int(value[:9]) / 1000
                    self.retry_seconds = max(_MIN_RETRY_SECONDS, min(wanted, _MAX_RETRY_SECONDS))
                case b"" if not line.strip():
                    if data:
                        yield Message(event or "message", b"\n".join(data))
                    self.last_id, event, data = last_id, "", []


def _detail(body: bytes) -> str:
    """What a problem document says, every fault of it; nothing of any other body."""
    try:
        problem = json.loads(body)
        faults = [f"{fault['param']}: {fault['message']}" for fault in problem.get("errors") or []]
        return "; ".join(faults) or str(problem.get("detail") or problem["title"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
