"""Uploads several clips of `BYTES` at once, from a process of its own. Prints JSON: time and answers.

`python -m tests.benchmarks.upload_load PORT KEY AT_ONCE FIRST`: no two clips are the same; FIRST is the
number of the first.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time

import uvloop

from tests.gateway.generation.media_samples import clip

BYTES = 100_000_000
_PIECE = bytes(1_000_000)


async def run(port: int, key: str, at_once: int, first: int) -> None:
    began = time.monotonic()
    answers = await asyncio.gather(*(_upload(port, key, first + number) for number in range(at_once)))
    seconds = time.monotonic() - began
    print(json.dumps({"seconds": seconds, "statuses": [int(answer.split()[1]) for answer in answers]}))


async def _upload(port: int, key: str, number: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    film = clip(1.0)
    rest = BYTES - len(film)
    head = (
        f"POST /v1/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: video/mp4\r\nContent-Length: {BYTES}\r\nConnection: close\r\n\r\n"
    )
    # a box that players pass over
    writer.write(head.encode() + film + struct.pack(">I4sQ", rest, b"free", number))
    left = rest - 16
    while left:
        writer.write(_PIECE[:left])
        await writer.drain()
        left -= min(left, len(_PIECE))
    answer = await reader.read()
    writer.close()
    return answer


if __name__ == "__main__":
    port, key, at_once, first = sys.argv[1:]
    uvloop.run(run(int(port), key, int(at_once), int(first)))
