"""Clients that wait, thousands in one process, over raw sockets.

`python -m tests.benchmarks.waiting PORT KIND FILE < jobs`: KIND `wait` asks for each job with ?wait=60,
`stream` for its events; a job is a line: its id, and a key of its tenant. FILE gets `open` when all have
asked (a stream: when its answer began), then a line for each that was told to the last byte: seconds since
the epoch, the job.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

import uvloop

_AT_ONCE = 50
_END = b"\r\n\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_PATHS = {"wait": "/v1/jobs/{}?wait=60", "stream": "/v1/jobs/{}/events"}
_TOLD = b"job.canceled"


class Client(asyncio.Protocol):
    """`asked`: it is open. Ends the process when it is answered anything but the news that it waits for."""

    def __init__(self, kind: str, job: str, key: str, file: BinaryIO) -> None:
        self._streams = kind == "stream"
        self._job = job
        path = _PATHS[kind].format(job)
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        )
        self._file = file
        self._buffer = b""
        self.asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)
        if not self._streams:
            self.asked.set_result(None)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._buffer += data
        head, found, body = self._buffer.partition(_END)
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            _give_up(f"a client was answered {head.decode()}")
        if not self.asked.done():
            self.asked.set_result(None)
        if self._streams:
            whole = body.endswith(_LAST_CHUNK)
        else:
            length = head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
            whole = len(body) >= int(length)
        if whole:
            if (_TOLD if self._streams else b'"canceled"') not in body:
                _give_up(f"a client was told something else: {body[:1000].decode()}")
            self._file.write(b"%.6f %s\n" % (now, self._job.encode()))
            self._file.flush()
            self._buffer = b""

    def connection_lost(self, error: Exception | None) -> None:
        if self._buffer or not self.asked.done():
            _give_up(f"a connection broke off: {error}")


def _give_up(why: str) -> None:
    print(why, file=sys.stderr, flush=True)
    asyncio.get_running_loop().stop()


async def run(port: int, kind: str, path: Path, jobs: Sequence[tuple[str, str]]) -> None:
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(_AT_ONCE)
    with path.open("ab") as file:

        async def ask(job: str, key: str) -> None:
            async with gate:
                _, client = await loop.create_connection(
                    lambda: Client(kind, job, key, file), "127.0.0.1", port
                )
                await client.asked

        await asyncio.gather(*(ask(job, key) for job, key in jobs))
        file.write(b"open\n")
        file.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asked = [(line.split()[0], line.split()[1]) for line in sys.stdin]
    uvloop.run(run(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), asked))
