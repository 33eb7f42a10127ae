"""A gateway that streams what a test scripts, a subscriber that answers so, and the command between them."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TextIO

from tests.nursery import Hatchling, Nursery

JOB = "job_01KA3J8Z6Q0000000000000000"
OTHER = "job_01KA3J8Z6Q0000000000000001"


def event(kind: str, job_id: str = JOB) -> bytes:
    """A body as the gateway writes it: compact, and beyond ASCII."""
    body = {"type": kind, "timestamp": "2026-11-26T00:00:00.000Z", "data": {"id": job_id, "prompt": "视频 ✓"}}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def message(stream_id: str, kind: str, job_id: str = JOB) -> bytes:
    return f"id: {stream_id}\nevent: {kind}\ndata: ".encode() + event(kind, job_id) + b"\n\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """To one GET: a stream of `pieces`, which then ends, is cut off or stays open; or another status."""

    pieces: tuple[bytes, ...] = ()
    then: str = "end"  #: end | cut | stay
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    problem: dict[str, Any] | None = None
    content_type: str = "text/event-stream"


@dataclass(slots=True)
class Gateway:
    """`asked`: path and headers (lower case) of every GET. An answer too many would be a 401."""

    url: str
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextlib.contextmanager
def gateway(*answers: Answer) -> Iterator[Gateway]:
    left, closing = list(answers), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            served.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            answer = (
                left.pop(0) if left else Answer(status=401, problem={"title": "the script is at its end"})
            )
            self.close_connection = True
            if answer.status != 200:
                self._refuse(answer)
                return
            self.send_response(200)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
            self.end_headers()
            for piece in answer.pieces:
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if answer.then == "end":
                self.wfile.write(b"0\r\n\r\n")
            elif answer.then == "stay":
                closing.wait(60)

        def _refuse(self, answer: Answer) -> None:
            body = json.dumps(answer.problem).encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """The test looks at what was asked."""

    with _serving(Handler, closing) as port:
        served = Gateway(f"http://127.0.0.1:{port}")
        yield served


@dataclass(slots=True)
class Subscriber:
    """`got`: headers (lower case) and body of every POST."""

    url: str
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextlib.contextmanager
def subscriber(*statuses: int, reply: bytes = b"", **headers: str) -> Iterator[Subscriber]:
    """Answers the statuses in turn, then 204."""
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            served.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status = left.pop(0) if left else 204
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if status != 204:
                self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            """The test looks at what came."""

    with _serving(Handler, threading.Event()) as port:
        served = Subscriber(f"http://127.0.0.1:{port}/hook")
        yield served


@dataclass(slots=True)
class Listening:
    """`vidu-gateway listen` as a process of its own."""

    running: Hatchling
    printed: TextIO
    errors_at: Path

    def line_with(self, *words: str) -> str:
        """Reads what it prints until a line holds all of these."""
        line = ""
        while True:
            ended = self.running.poll() is not None  # asked first: what it printed last is read too
            while piece := self.printed.readline():
                line += piece
                if line.endswith("\n"):
                    if all(word in line for word in words):
                        return line
                    line = ""
            assert not ended, f"it ended without a line that holds {words}: {self.errors()}"
            time.sleep(0.005)

    def wait(self) -> int:
        return self.running.wait(30)

    def errors(self) -> str:
        return self.errors_at.read_text("utf-8")


@contextlib.contextmanager
def process(nursery: Nursery, folder: Path, *words: str, **environment: str) -> Iterator[Listening]:
    """`vidu-gateway listen` with these words; it prints into the folder."""
    environment = {**os.environ, "COLUMNS": "200", **environment}
    printed, errors = folder / "listen.log", folder / "listen-errors.log"
    running = nursery.spawn(["gateway.cli", "listen", *words], environment, printed, errors)
    try:
        with printed.open(encoding="utf-8") as lines:
            yield Listening(running, lines, errors)
    finally:
        running.kill()
        running.wait()


@contextlib.contextmanager
def _serving(handler: type[BaseHTTPRequestHandler], closing: threading.Event) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
