"""A subscriber of raw bytes: it answers each request as a script says, well-formed or not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.delivery.guard import Guard

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_TLS_HELLO = b"\x16"
LOOPBACK = Guard(["127.0.0.0/8", "::1/128"])


class Subscriber:
    """Listens on 127.0.0.1; `requests` are the heads and bodies it got, `connections` counts the dials."""

    def __init__(self, script: Script | bytes) -> None:
        self._script = script
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.asked = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                first = await reader.readexactly(1)
                if first == _TLS_HELLO:  # and this is no server of TLS: who dialled need not wait
                    break
                head = first + await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append((head, await reader.readexactly(length)))
                self.asked.set()
                if isinstance(self._script, bytes):
                    writer.write(self._script)
                    await writer.drain()
                else:
                    await self._script(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def subscriber(script: Script | bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Subscriber]:
    served = Subscriber(script)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        await served.stop()


def reply(status: int, body: bytes = b"", *headers: str) -> bytes:
    """A well-formed reply that keeps the connection."""
    lines = [f"HTTP/1.1 {status} Reason", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
