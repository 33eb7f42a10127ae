"""A TCP proxy between two parties, whose weather a test changes while they talk.

It knows nothing of HTTP or RESP. All proxies of a run share one thread with an event loop of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

Target = tuple[str, int] | str  # host and port, or the path of a Unix socket
T = TypeVar("T")
P = TypeVar("P", bound="Proxy")

_CHUNK = 65_536
_THROTTLED_CHUNK = 256


class Weather(StrEnum):
    """What happens to bytes and to connections. Each new weather but `PASS` strikes open connections too."""

    PASS = "pass"
    LATENCY = "latency"  #: every chunk waits for so many seconds, each way
    BLACK_HOLE = "black_hole"  #: nothing passes; what was sent arrives when the weather clears
    DROP = "drop"  #: nothing passes, and what was sent is lost: the connection is reset when it clears
    HALF_OPEN = "half_open"  #: requests pass, replies are lost: reset when it clears
    RESET = "reset"  #: open connections are reset, new ones when the first reply arrives
    REFUSE = "refuse"  #: open connections are reset, new ones at once
    THROTTLE = "throttle"  #: so many bytes a second, each way


class _Cut(Exception):
    """This connection has to end with a reset."""


class Proxy:
    """One link: listens on `port` of 127.0.0.1 and goes on to the first of `targets` that answers, beginning
    with another one each time. `counts`: connections, cuts, and bytes by direction."""

    def __init__(self, targets: Sequence[Target], loop: asyncio.AbstractEventLoop) -> None:
        self.targets = list(targets)
        self.counts: Counter[str] = Counter()
        self._loop = loop
        self._weather, self._value = Weather.PASS, 0.0
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]

    def set(self, weather: Weather, value: float = 0.0) -> None:
        """From any thread; returns when it holds."""
        done = threading.Event()

        def change() -> None:
            self._weather, self._value = weather, value
            self._changed.set()
            self._changed = asyncio.Event()
            if weather in (Weather.RESET, Weather.REFUSE):
                self._cut_all()
            done.set()

        self._loop.call_soon_threadsafe(change)
        done.wait(5)

    def cut(self) -> None:
        """Reset every open connection, once."""
        self._loop.call_soon_threadsafe(self._cut_all)

    async def serve(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            self.counts["connections"] += 1
            task = self._loop.create_task(self._carry(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(partial(_close, client))  # also of one that never began

    async def close(self) -> None:
        self._listener.close()
        self._cut_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cut_all(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    async def _carry(self, client: socket.socket) -> None:
        client.setblocking(False)
        if self._weather is Weather.REFUSE or (server := await self._dial()) is None:
            self.counts["cuts"] += 1
            _reset(client)
            return
        ways = [
            self._loop.create_task(self._pump(client, server, "requests")),
            self._loop.create_task(self._pump(server, client, "replies")),
        ]
        try:
            await asyncio.gather(*ways)
        except (_Cut, OSError, asyncio.CancelledError):
            self.counts["cuts"] += 1
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            _reset(client)
            _reset(server)
        client.close()
        server.close()

    async def _dial(self) -> socket.socket | None:
        self.targets.append(self.targets.pop(0))
        for target in self.targets:
            family = socket.AF_UNIX if isinstance(target, str) else socket.AF_INET
            server = socket.socket(family)
            server.setblocking(False)
            try:
                await self._loop.sock_connect(server, target)
            except OSError:
                server.close()
            except asyncio.CancelledError:
                server.close()
                raise
            else:
                return server
        return None

    async def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        for side in (source, sink):
            if side.family != socket.AF_UNIX:
                with contextlib.suppress(OSError):
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while chunk := await self._loop.sock_recv(source, _CHUNK):
            await self._weathered(way)
            self.counts[way] += len(chunk)
            await self._send(chunk, source, sink, way)
        await self._weathered(way)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    async def _send(self, chunk: bytes, source: socket.socket, sink: socket.socket, way: str) -> None:
        while self._weather is Weather.THROTTLE and chunk:
            part, chunk = chunk[:_THROTTLED_CHUNK], chunk[_THROTTLED_CHUNK:]
            await asyncio.sleep(len(part) / (self._value or 1.0))
            await self._loop.sock_sendall(sink, part)
        await self._loop.sock_sendall(sink, chunk)

    async def _weathered(self, way: str) -> None:
        """Returns when bytes may pass; raises _Cut when they never will."""
        if self._weather is Weather.LATENCY:
            await asyncio.sleep(self._value)
        if self._weather is Weather.RESET and way == "replies":
            raise _Cut
        is_lost = False
        while self._weather in (Weather.BLACK_HOLE, Weather.DROP) or (
            self._weather is Weather.HALF_OPEN and way == "replies"
        ):
            is_lost |= self._weather is not Weather.BLACK_HOLE
            await self._changed.wait()
        if is_lost:
            raise _Cut


def _close(side: socket.socket, _: object) -> None:
    side.close()


def _reset(side: socket.socket) -> None:
    """Close with RST instead of FIN."""
    with contextlib.suppress(OSError):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    side.close()


class Proxies:
    """The proxies of a run by name, and the thread that carries their bytes."""

    def __init__(self) -> None:
        self.links: dict[str, Proxy] = {}
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Task[None]] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def open(self, name: str, *targets: Target) -> Proxy:
        return self.add(name, lambda loop: Proxy(targets, loop))

    def add(self, name: str, make: Callable[[asyncio.AbstractEventLoop], P]) -> P:
        async def begin() -> P:
            proxy = make(self._loop)
            self._servers.append(self._loop.create_task(proxy.serve()))
            return proxy

        made = self._run(begin())
        self.links[name] = made
        return made

    def clear(self) -> None:
        for proxy in self.links.values():
            proxy.set(Weather.PASS)

    def close(self) -> None:
        async def end() -> None:
            for server in self._servers:
                server.cancel()
            await asyncio.gather(*self._servers, return_exceptions=True)
            for proxy in self.links.values():
                await proxy.close()

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(10)
