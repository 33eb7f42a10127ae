"""uvicorn's HTTP/1.1 protocol with a deadline and limits for the head of every request.

Use as `uvicorn.Config(app, http=HardenedProtocol, ws="none")`. A refused request gets a problem document; a
connection that is too slow is closed without a response.

httptools itself refuses Content-Length together with Transfer-Encoding, two Content-Lengths, bare line feeds
and folded headers (a test checks this). But it accepts any number and size of headers, a missing or repeated
Host, and codings that nobody decodes. It ends a request at its head if the client offers an upgrade, so the
body is lost. And uvicorn has no timeout for an unfinished head, for a new connection without data, for a
client that keeps sending after its response, or for one that does not read it. It also treats the trailer of
a chunked body as headers, of any length, and ignores the host in the target of a request. This class closes
these gaps. Bodies are up to the application.

It uses private names of uvicorn, so uvicorn is pinned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Final, cast

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.web.http.problem_document import MEDIA_TYPE, problem
from gateway.web.http.problem_types import STATUS_TYPES
from gateway.web.server.coalescing import CoalescingTransport
from gateway.web.server.heads import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    HeadRefused,
    check_framing,
    check_host,
    head_too_large,
    origin_form,
    without_upgrade,
)

#: In the scope of a request: the address of its connection, whatever a proxy says about its client.
PEER: Final = "gateway.peer"


class HardenedProtocol(HttpToolsProtocol):
    """A head (request line and headers) is limited by HEAD_SECONDS, MAX_HEAD_BYTES and MAX_HEADERS. A client
    that stops reading is disconnected after UNREAD_SECONDS."""

    HEAD_SECONDS: ClassVar[float] = 5.0
    UNREAD_SECONDS: ClassVar[float] = 30.0

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _in_head = False
    _no_body = False  # the last read contained no part of a body
    _offers: Sequence[tuple[bytes, bytes]] = ()  # the Upgrade headers that were taken out of this head
    _received = 0  # bytes received of an unfinished head or trailer
    _parsed = 0  # bytes of the target, and of complete headers and trailers

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, CoalescingTransport(transport, self.loop)))
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_unread_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_unread_timer()
        self._unread = self.loop.call_later(self.UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_unread_timer()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        self._no_body = True
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            cause = error.__context__  # an exception in one of our callbacks
            self._refuse(
                cause if isinstance(cause, HeadRefused) else HeadRefused(400, "this is not HTTP/1.1")
            )
        if self.transport.is_closing():
            return
        if self._in_head or (self._no_body and self.cycle is not None and self.cycle.more_body):
            # The parser reports a header only when it is complete, so an endless one is counted here. This
            # may include the end of an earlier body in the same read, which only a pipelining client causes.
            self._received += len(data)
            if self._received > MAX_HEAD_BYTES:
                self._refuse(head_too_large())
                return
        if self._in_head or self.cycle is None or self.cycle.response_complete:
            # These bytes stopped uvicorn's keep-alive timer, but did not complete a head.
            self._start_head_timer()

    def _feed(self, data: bytes) -> None:
        """Parse the data. An upgrade that a client offers is ignored (RFC 9110, 7.8): the parser stops after
        such a head, so the same head without its offer goes to a new parser, followed by the rest."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offered:
                version = self.parser.get_http_version()
                head, self._offers = without_upgrade(self.scope["method"], self.url, version, self.headers)
                data = head + data[offered.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            else:
                return

    def _should_upgrade(self) -> bool:
        """True makes uvicorn skip a request whose head the parser will get once more."""
        return True

    def _refuse(self, refused: HeadRefused) -> None:
        """Answer a request that does not reach the application, and close the connection."""
        document = problem(STATUS_TYPES[refused.status], refused.detail, refused.problems)
        body = orjson.dumps(document)
        head = b"content-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[refused.status] + head % (MEDIA_TYPE.encode(), len(body)) + body)
        self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[PEER] = self.client[0] if self.client else None  # type: ignore[typeddict-unknown-key]
        self._in_head = True
        self._received = self._parsed = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)
        # Otherwise it is a trailer, which must not be treated as a header (RFC 9110, 6.5.1) and is not
        # needed.
        self._count(name, value)

    def on_body(self, body: bytes) -> None:
        self._no_body = False
        self._received = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        if self.parser.get_method() == b"CONNECT":
            raise HeadRefused(400, "CONNECT is for proxies, and this is none")
        if not self.parser.should_upgrade():
            version = self.parser.get_http_version()
            self.url = origin_form(self.url, self.headers)
            check_host(self.headers, version)
            check_framing(self.headers, version)
            self.headers += self._offers
            self._offers = ()
        self._in_head = False
        self._stop_head_timer()
        super().on_headers_complete()

    def _count(self, *parts: bytes) -> None:
        self._parsed += sum(map(len, parts))
        if self._parsed > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            raise head_too_large()

    def _stop_unread_timer(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _start_head_timer(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.HEAD_SECONDS, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
