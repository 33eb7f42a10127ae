"""A subscriber that does as a test says, path by path, and keeps everything that it was sent."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from standardwebhooks import Webhook

#: In place of a status: no answer, until `release`; then 204, for those who still listen.
HANG = 0
Answer = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One POST, as it came. `answer`: the status that was sent, or HANG."""

    path: str
    headers: dict[str, str]
    body: bytes
    answer: int

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        return dict(orjson.loads(self.body))

    def verified(self, secret: str) -> dict[str, Any]:
        """Its event. Raises what the library raises when the signature is not by this secret."""
        event: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return event


class Hooks:
    """Every path answers 204 until that is changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._otherwise = 204
        self._answers: dict[str, Answer] = {}
        self._arrivals: list[Arrival] = []
        self._released = threading.Event()
        self._server = _server(self)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="hooks", daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def everywhere(self, status: int) -> None:
        """Paths of which nothing else was said."""
        self._otherwise = status

    def always(self, path: str, status: int) -> None:
        self._answers[path] = lambda _: status

    def first(self, path: str, *statuses: int) -> None:
        """These, one after the other, then 204."""
        left = list(statuses)
        self._answers[path] = lambda _: left.pop(0) if left else 204

    def by_event(self, path: str, answer: Answer) -> None:
        """As `answer` says of the event's id."""
        self._answers[path] = answer

    def at(self, path: str) -> list[Arrival]:
        """What has come to this path so far, in order."""
        with self._lock:
            return [one for one in self._arrivals if one.path == path]

    def received(self, path: str) -> list[str]:
        """The ids of the events that it took there, in order."""
        return [one.event_id for one in self.at(path) if one.answer == 204]

    def all(self) -> list[Arrival]:
        with self._lock:
            return list(self._arrivals)

    def release(self) -> None:
        """Those that hang are answered, and nothing hangs from now on."""
        self._released.set()

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Notes it; returns what to answer, when that is to be answered."""
        with self._lock:
            given = self._answers.get(path)
            answer = given(headers["webhook-id"]) if given else self._otherwise
            if answer == HANG and self._released.is_set():
                answer = 204
            self._arrivals.append(Arrival(path, headers, body, answer))
        if answer == HANG:
            self._released.wait()
            return 204
        return answer


@contextlib.contextmanager
def listening() -> Iterator[Hooks]:
    made = Hooks()
    try:
        yield made
    finally:
        made.close()


def _server(taker: Hooks) -> http.server.ThreadingHTTPServer:
    class Receiver(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept
        timeout = 60

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:  # the sender broke off: nothing was delivered
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = taker.take(self.path, headers, body)
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """Senders that are killed, or run out of patience, are what these tests are made of."""

    return Server(("127.0.0.1", 0), Receiver)
