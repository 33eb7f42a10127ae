"""A subscriber that answers 204 and notes when it was notified of which job.

`python -m tests.benchmarks.subscriber PORT FILE`; one line a webhook: the job, seconds since the epoch.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import BinaryIO, cast

import uvloop

_MARK = b'"id":"job_'


class Subscriber(asyncio.Protocol):
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        if self._buffer.startswith(b"GET"):
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            self._buffer = b""
            return
        length = self._buffer[:head].lower().find(b"content-length:")
        size = int(self._buffer[length + 15 : self._buffer.index(b"\r\n", length)])
        if len(self._buffer) < head + 4 + size:
            return
        at = self._buffer.find(_MARK) + 6
        self._file.write(b"%s %.6f\n" % (self._buffer[at : at + 30], now))
        self._file.flush()
        self._buffer = b""
        self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


async def serve(port: int, path: Path) -> None:
    with path.open("ab") as file:
        server = await asyncio.get_running_loop().create_server(lambda: Subscriber(file), "127.0.0.1", port)
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
