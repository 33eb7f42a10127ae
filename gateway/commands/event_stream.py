"""A client of the gateway's event stream (server-sent events), using only the standard library.

It remembers the id of the last processed message and continues after it (`Last-Event-ID`).
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
# The gateway sends something every 15 s: after three missed comments the connection counts as dead.
_SILENCE_SECONDS: Final = 45.0
_MAX_DETAIL_BYTES: Final = 65_536
_RETRY_SECONDS: Final = 2.0
_MIN_RETRY_SECONDS: Final = 0.1
_MAX_RETRY_SECONDS: Final = 60.0
# The id is sent back in a header, so it may contain only what a header can hold.
_ID: Final = re.compile(rb"[!-~]{1,64}")
# The only 4xx that a retry may resolve.
_RETRYABLE: Final = frozenset({408, 425, 429})


class Refused(GatewayError):
    """A retry cannot help: the key is wrong or lacks a scope, or the server is not a gateway."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `data`: its bytes as received."""

    event: str
    data: bytes


class EventStream:
    """`types`: event types to request. `last_id`: id of the last processed message. `opens`: number of
    successful connections."""

    def __init__(self, url: str, key: str, types: Sequence[str]) -> None:
        self._url = urlsplit(url.rstrip("/"))
        self._key = key
        self._types = types
        self.last_id = ""
        self.opens = 0
        self.retry_seconds = _RETRY_SECONDS
        self.least_wait_seconds = 0.0

    def messages(self, opened: Callable[[], None]) -> Iterator[Message]:
        """The messages of one connection, until the gateway ends it. A message counts as processed when the
        next one is requested. Raises Refused, or Unavailable if a retry may help."""
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
            raise Unavailable(f"{self._host} does not respond") from None
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
            raise Refused(f"{self._host} does not send an event stream: is it a vidu-gateway?")
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
        """Parses an event stream as the HTML standard says. An incomplete message is dropped."""
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
    """All faults of a problem document, or its detail; empty for any other body."""
    try:
        problem = json.loads(body)
        faults = [f"{fault['param']}: {fault['message']}" for fault in problem.get("errors") or []]
        return "; ".join(faults) or str(problem.get("detail") or problem["title"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
