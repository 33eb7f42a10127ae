"""A server that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "vgw_0123456789ab_" + "0" * 48


@dataclass(frozen=True, slots=True)
class Reply:
    """`body`: sent as JSON unless it is bytes. `bytes_of_body`: the connection ends after so many; None: all.
    `drop`: it is reset before any answer."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    bytes_of_body: int | None = None
    drop: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Server:
    url: str
    asked: list[Asked] = field(default_factory=list)


@contextlib.contextmanager
def scripted(*replies: Reply) -> Iterator[Server]:
    """Answers with the replies in turn; the last one again and again."""
    left = list(replies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append(Asked(self.command, self.path, headers, body))
            reply = left.pop(0) if len(left) > 1 else left[0]
            self.close_connection = True
            if reply.drop:
                self._reset()
                return
            raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            given = {"Content-Length": str(len(raw)), "Connection": "close", **reply.headers}
            for name, value in given.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD" and reply.status not in (204, 304):
                self.wfile.write(raw[: reply.bytes_of_body])
            if reply.bytes_of_body is not None:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_WR)  # an end in the midst, which loses no bytes

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def log_message(self, *_: object) -> None:
            """The test looks at what was asked."""

        def handle(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().handle()

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().finish()

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    server = Server(f"http://127.0.0.1:{listener.server_port}")
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
