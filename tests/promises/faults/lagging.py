"""The way to a server of a replicated store, on which its replicas are late.

A replica that is stopped does not lag: what it is sent waits in the kernel, and it catches up. So the stream
itself is held back here, from the PSYNC on; commands of clients pass at once. What is held back when the way
closes is lost, as it is with a machine that dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence

from tests.promises.faults.proxy import Proxies, Proxy, Target

_Held = asyncio.Queue[tuple[float, bytes]]


class LaggingProxy(Proxy):
    """`lag`: by how many seconds what a server sends to its first replica is late; to the second, by twice
    that, and so on. So it matters which of them is promoted."""

    def __init__(self, targets: Sequence[Target], loop: asyncio.AbstractEventLoop, lag: float) -> None:
        super().__init__(targets, loop)
        self.lag = lag
        self._streams: dict[socket.socket, tuple[float, _Held]] = {}

    async def _send(self, chunk: bytes, source: socket.socket, sink: socket.socket, way: str) -> None:
        if way == "requests" and source not in self._streams and b"PSYNC" in chunk.upper():
            self._streams[source] = self.lag * (1 + len(self._streams)), asyncio.Queue()
            task = self._loop.create_task(self._follow(source))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if way == "replies" and sink in self._streams:
            lag, held = self._streams[sink]
            held.put_nowait((self._loop.time() + lag, chunk))
        else:
            await super()._send(chunk, source, sink, way)

    async def _follow(self, replica: socket.socket) -> None:
        """Sends a replica what is due, until its connection ends."""
        _, held = self._streams[replica]
        try:
            with contextlib.suppress(OSError):
                while replica.fileno() >= 0:
                    due, chunk = await held.get()
                    await asyncio.sleep(max(0.0, due - self._loop.time()))
                    await self._loop.sock_sendall(replica, chunk)
        finally:
            del self._streams[replica]


def open_lagging(proxies: Proxies, name: str, lag: float, *targets: Target) -> LaggingProxy:
    return proxies.add(name, lambda loop: LaggingProxy(targets, loop, lag))
