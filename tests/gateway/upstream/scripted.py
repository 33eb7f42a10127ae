"""A raw upstream on loopback that does exactly what a test's script says, byte by byte.

A script gets each connection after its request's head; what it raises besides the peer going away
fails the test when the server is closed.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

ACCEPTED = b'{"id":"t1","status":"in_progress"}'


@dataclass
class Connection:
    """One connection with one request's head read; `body` is what has been read of it since."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: bytes
    body: bytes = b""

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode().split("\r\n")[1:-2]
        return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", "0"))

    @property
    def complete(self) -> bool:
        return len(self.body) == self.length

    async def read(self, count: int | None = None) -> None:
        """Reads the next `count` bytes of the body, or all the rest; less when the peer ends it."""
        wanted = self.length - len(self.body) if count is None else count
        try:
            self.body += await self.reader.readexactly(wanted)
        except asyncio.IncompleteReadError as error:
            self.body += error.partial

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def reset(self) -> None:
        """Closes with an RST instead of a FIN."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Connection], Awaitable[None]]


@dataclass
class ScriptedServer:
    """`connections` counts what was accepted; `requests` has every request whose head was read."""

    script: Script
    connections: int = 0
    requests: list[Connection] = field(default_factory=list)
    url: str = ""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        self._tasks.append(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                connection = Connection(reader, writer, await reader.readuntil(b"\r\n\r\n"))
                self.requests.append(connection)
                await self.script(connection)
                if writer.is_closing():
                    return
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def settled(self) -> None:
        """Returns when every connection so far has ended."""
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)
        for ended in outcomes:
            if isinstance(ended, Exception):
                raise ended


@asynccontextmanager
async def scripted(
    script: Script, *, address: str = "127.0.0.1", host: str = "", tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedServer]:
    """`address`: where it listens. `host`: what its URL says instead."""
    server = ScriptedServer(script)
    listener = await asyncio.start_server(server.serve, address, 0, ssl=tls)
    scheme = "https" if tls else "http"
    server.url = f"{scheme}://{host or address}:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        await server.stop()


def answers(
    status: int, body: bytes = b"", **headers: str
) -> Callable[[Connection], Coroutine[None, None, None]]:
    """A script that reads the whole request and answers it."""

    async def script(connection: Connection) -> None:
        await connection.read()
        if connection.complete:
            await connection.answer(status, body, **headers)

    return script
