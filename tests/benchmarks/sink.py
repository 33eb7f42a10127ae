"""A subscriber that answers as its paths say, and notes when it received what.

`python -m tests.benchmarks.sink FILE COUNT` listens on so many ports, each a host of its own for whoever
sends, and names them in a file beside. A path `/hang/...` is never answered, `/status/500/...` with that
status, any other with 204. A line of FILE is a webhook: seconds since the epoch when its head was there, its
webhook-id, its path, the number of its connection.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import uvloop

from tests.processes import Machine, Process

_HOST = "127.0.0.1"
_WRITE_SECONDS = 0.05
_READY_SECONDS = 10.0
_END = b"\r\n\r\n"


class Arrival(NamedTuple):
    at: float
    event: str
    path: str
    connection: int


class Notes:
    """Kept for a moment before they are written, so that a webhook costs no system call more."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self._lines: list[bytes] = []
        self._connections = itertools.count()

    def connection(self) -> int:
        return next(self._connections)

    def add(self, at: float, event: bytes, path: bytes, connection: int) -> None:
        if not self._lines:
            asyncio.get_running_loop().call_later(_WRITE_SECONDS, self._write)
        self._lines.append(b"%.6f %s %s %d\n" % (at, event, path, connection))

    def _write(self) -> None:
        self._file.write(b"".join(self._lines))
        self._file.flush()
        self._lines.clear()


class Connection(asyncio.Protocol):
    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._number = notes.connection()
        self._buffer = b""
        self._left = -1  # bytes of a body that are to come; -1: a head is
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._buffer += data
        if self._left < 0:
            end = self._buffer.find(_END)
            if end < 0:
                return
            self._head(self._buffer[:end], now)
            self._buffer = self._buffer[end + len(_END) :]
        if len(self._buffer) >= self._left:
            self._buffer = self._buffer[self._left :]
            self._left = -1
            self._transport.write(self._answer)

    def _head(self, head: bytes, now: float) -> None:
        path = head.split(b" ", 2)[1]
        lower = head.lower()
        self._left = int(_value(head, lower, b"content-length"))
        self._notes.add(now, _value(head, lower, b"webhook-id"), path, self._number)
        match path.split(b"/")[1:]:
            case [b"hang", *_]:
                self._answer = b""
            case [b"status", status, *_]:
                self._answer = b"HTTP/1.1 %s Told\r\nContent-Length: 0\r\n\r\n" % status
            case _:
                self._answer = b"HTTP/1.1 204 No Content\r\n\r\n"


def _value(head: bytes, lower: bytes, name: bytes) -> bytes:
    start = lower.index(b"\r\n" + name + b":") + len(name) + 3
    return head[start:].split(b"\r\n", 1)[0].strip()


class Sink:
    """A sink as a process of the machine."""

    def __init__(self, scratch: Machine, ports: int) -> None:
        self._path = scratch.folder / "sink.txt"
        self._read = 0
        self._arrivals: list[Arrival] = []
        # The system may give it a port that the machine has only noted down so far, for the gateway. No
        # webhook may go there.
        noted = set(scratch.ports.values())
        child = scratch.start("sink", "tests.benchmarks.sink", str(self._path), str(ports + len(noted)))
        found = _ports_of(_ports_file(self._path), child)
        self.ports = [port for port in found if port not in noted][:ports]

    def url(self, number: int, path: str) -> str:
        """On the port of that number, as often around as needed."""
        return f"http://{_HOST}:{self.ports[number % len(self.ports)]}{path}"

    def arrivals(self) -> list[Arrival]:
        """All of them so far; a line that is being written is left for the next time."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                whole = file.read().rpartition(b"\n")[0]
            self._read += len(whole) + 1 if whole else 0
            self._arrivals += [_arrival(line) for line in whole.decode().splitlines()]
        return self._arrivals


def first_of(arrivals: Sequence[Arrival], start: str) -> dict[str, float]:
    """{event: when it first arrived at a path that starts so}."""
    found: dict[str, float] = {}
    for one in arrivals:
        if one.path.startswith(start):
            found[one.event] = min(one.at, found.get(one.event, one.at))
    return found


def _arrival(line: str) -> Arrival:
    at, event, path, connection = line.split()
    return Arrival(float(at), event, path, int(connection))


def _ports_file(path: Path) -> Path:
    return path.with_suffix(".ports")


def _ports_of(path: Path, child: Process) -> list[int]:
    deadline = time.monotonic() + _READY_SECONDS
    while not path.exists():
        if child.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the sink did not come up")
        time.sleep(0.01)
    return [int(port) for port in path.read_text().split()]


async def serve(path: Path, count: int) -> None:
    notes = Notes(path)
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda: Connection(notes), _HOST, 0, backlog=1024) for _ in range(count)
    ]
    ports = [str(server.sockets[0].getsockname()[1]) for server in servers]
    half = path.with_suffix(".half")
    half.write_text(" ".join(ports))
    half.rename(_ports_file(path))
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
