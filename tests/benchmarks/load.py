"""A lean HTTP load client: prepared requests over kept-alive connections, counted and timed.

`python -m tests.benchmarks.load HOST PORT CONNECTIONS SECONDS LEAST < requests.json` prints one JSON
object. A process of its own, so that what it costs is seen by the scheduler and not by the server measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import cast

import uvloop


class Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last one is whole."""

    def __init__(self, requests: Sequence[bytes], deadline: float, least: int) -> None:
        self.requests = requests
        self.deadline = deadline
        self.least = least
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.latencies: list[float] = []
        self.bad = 0
        self._buffer = b""
        self._at = 0
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = self._buffer.lower().find(b"content-length:")
        size = int(self._buffer[length + 15 : self._buffer.index(b"\r\n", length)])
        if len(self._buffer) < head + 4 + size:
            return
        self.latencies.append(time.perf_counter() - self._sent)
        self.bad += self._buffer[9:12] != b"202"
        self._buffer = b""
        if time.perf_counter() < self.deadline or self._at < self.least:
            self._send()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.bad += error is not None or bool(self._buffer)
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self.transport.write(self.requests[self._at % len(self.requests)])
        self._at += 1


async def run(
    host: str, port: int, connections: int, seconds: float, least: int, requests: Sequence[bytes]
) -> dict[str, float]:
    """{began, seconds, per_second, p50_ms, p99_ms, bad}: `began` in seconds since the epoch; `bad` counts
    answers that were not 202 and broken connections. Each connection sends for `seconds`, and at least
    `least` requests; each begins with another one of them."""
    loop = asyncio.get_running_loop()
    began, epoch = time.perf_counter(), time.time()
    opened = []
    for number in range(connections):
        first = number % len(requests)
        turned = [*requests[first:], *requests[:first]]
        made = partial(Connection, turned, began + seconds, least)
        opened.append(await loop.create_connection(made, host, port))
    protocols = [protocol for _, protocol in opened]
    await asyncio.gather(*(protocol.done for protocol in protocols))
    took = time.perf_counter() - began
    latencies = sorted(latency for protocol in protocols for latency in protocol.latencies)
    return {
        "began": epoch,
        "seconds": took,
        "per_second": len(latencies) / took,
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
        "bad": sum(protocol.bad for protocol in protocols),
    }


def request(path: str, body: bytes, key: str) -> bytes:
    """A POST as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    host, port, connections, seconds, least = sys.argv[1:6]
    requests = [text.encode() for text in json.load(sys.stdin)]
    print(
        json.dumps(uvloop.run(run(host, int(port), int(connections), float(seconds), int(least), requests)))
    )


if __name__ == "__main__":
    main()
