"""Requests with hostile bytes in one place, sent raw over one connection after another."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.client import HTTPResponse
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote_from_bytes, urlsplit

import gateway.web
from gateway.web.api.routes import API
from gateway.web.operation import Operation
from gateway.web.ops.routes import OPS

#: Values that once broke a parser of somebody: brackets, bytes that are no text, digits that are no numbers.
VALUES: Final = (
    b"",
    b"[",
    b"http://[",
    b"http://x:99999/",
    b"\xff\xfe",
    b"\xb2",
    "é€😀٣".encode(),
    b"\xed\xa0\x80",
    b"%",
    b"%ff%00%0d%0a",
    b"a=b;c;=;;,",
    b"-1",
    b"1e999",
    b"9" * 5000,
    b"bytes=0-,-1,9-1",
    b"../../etc/passwd",
    b"<script>'\"{{7*7}}",
    b"\t",
    b"\x01\x7f",
)
#: The headers that the server, its middleware and the handlers parse, besides those that operations declare.
HEADERS: Final = frozenset(
    {
        *("accept", "authorization", "connection", "content-encoding", "content-length", "content-type"),
        *("cookie", "expect", "host", "if-modified-since", "if-none-match", "if-range", "origin", "range"),
        *("sec-fetch-site", "traceparent", "transfer-encoding", "upgrade", "x-forwarded-for"),
        *("x-forwarded-proto", "x-hmac-access-key", "x-hmac-algorithm", "x-hmac-signature"),
        *("x-hmac-signed-headers", "x-request-id", "date", "request-nonce"),
        "x-stainless-retry-count",
    }
)
_READ: Final = re.compile(r'(?:headers(?:_of\(request\))?|gather\(scope\)|found)\.get\(b?"([a-z-]+)"')


def headers_in_source() -> set[str]:
    """The headers that the handlers ask for by a literal name."""
    sources = (path.read_text("utf-8") for path in Path(gateway.web.__path__[0]).rglob("*.py"))
    return {name for source in sources for name in _READ.findall(source)}


@dataclass(frozen=True, slots=True)
class Sent:
    """One request. `where`: what is hostile in it."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""
    where: str = ""

    def having(self, name: bytes, value: bytes) -> Sent:
        """The same with this header instead of another of its name."""
        kept = tuple(header for header in self.headers if header[0].lower() != name.lower())
        return replace(self, headers=(*kept, (name, value)), where=f"{name.decode()}: {value[:40]!r}")

    def raw(self) -> bytes:
        given = {name.lower() for name, _ in self.headers}
        lines = [b"%s %s HTTP/1.1" % (self.method, self.target)]
        lines += [b"%s: %s" % header for header in self.headers]
        if b"host" not in given:
            lines.append(b"Host: x")
        if not given & {b"content-length", b"transfer-encoding"} and (self.body or self.method != b"GET"):
            lines.append(b"Content-Length: %d" % len(self.body))
        return b"\r\n".join((*lines, b"", self.body))


def plain(operation: Operation, *headers: tuple[bytes, bytes]) -> Sent:
    """The operation as an ordinary client calls it, about things that do not exist."""
    path = re.sub(r"\{(\w+)\}", "x", operation.path)
    kind = (b"Content-Type", b"application/json")
    return Sent(operation.method.encode(), path.encode(), (*headers, kind), b"{}")


def in_the_target(operation: Operation, sent: Sent, value: bytes) -> Iterator[Sent]:
    """Hostile path parameters, names and values of the query; encoded and, if it is printable, as it is."""
    for text in {quote_from_bytes(value, safe="").encode(), value}:
        if re.search(rb"[\s#?]", text):
            continue
        where = f"target: {text[:40]!r}"
        if "{" in operation.path:
            path = re.sub(rb"\{\w+\}", lambda _: text, operation.path.encode())  # noqa: B023
            yield replace(sent, target=path, where=where)
        for name in (b"zzz", text, *(param.name.encode() for param in operation.query)):
            yield replace(sent, target=b"%s?%s=%s" % (sent.target, name, text), where=where)


def names_of(operation: Operation) -> list[str]:
    return sorted(HEADERS | {param.name.lower() for param in operation.headers})


class Wire:
    """A client that keeps its connection while the server does."""

    def __init__(self, url: str) -> None:
        self._place = ("127.0.0.1", urlsplit(url).port)
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def exchange(self, sent: Sent) -> tuple[int, str, bytes]:
        """Status, media type and body; of an event stream only the head."""
        if self._socket is None:
            self._socket = socket.create_connection(self._place, timeout=30)
        self._socket.sendall(sent.raw())
        self._socket.settimeout(30)
        answer = HTTPResponse(self._socket, method=sent.method.decode())
        answer.begin()
        kind = answer.headers.get_content_type()
        endless = kind == "text/event-stream"
        body = b"" if endless else answer.read()
        if endless or answer.will_close:
            self.hang_up()
        return answer.status, kind, body


OPERATIONS: Final = (*API, *OPS)
