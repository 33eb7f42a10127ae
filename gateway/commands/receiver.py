"""A subscriber for the demo: receives webhooks on a free local port and keeps them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One received POST. `at`: seconds since the epoch."""

    at: float
    headers: dict[str, str]
    body: bytes

    def is_signed_with(self, secret: str) -> bool:
        """Whether the signature is valid, checked with the Standard Webhooks library like a subscriber
        does."""
        from standardwebhooks.webhooks import Webhook as Standard

        try:
            Standard(secret).verify(self.body, self.headers)
        except Exception:  # noqa: BLE001 - the library raises plain ValueError and more on bad headers
            return False
        return True


@dataclass(slots=True)
class Receiver:
    url: str
    received: list[Webhook] = field(default_factory=list)


@contextlib.contextmanager
def receiving(clock: Callable[[], float]) -> Iterator[Receiver]:
    """Listen until the block ends. Every POST gets 204."""
    received: list[Webhook] = []

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            received.append(Webhook(clock(), headers, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing: the demo prints what matters."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Receiver(f"http://{LOOPBACK}:{server.server_port}/webhooks", received)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
