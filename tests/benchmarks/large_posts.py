"""Large posts: whether `/livez` answers soon while four bodies of 19.5 MB, with files in them, come in."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path

from PIL import Image

from tests.benchmarks import bench
from tests.benchmarks.figures import Figure, Found, p99_ms
from tests.benchmarks.load import request
from tests.processes import ORDER, machine

POSTS = 4
BODY_BYTES = 19_500_000
ROUNDS = 5
_EVERY_SECONDS = 0.005
_ALONE_SECONDS = 1.0
_WIDTH = 1560
_LIVEZ = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def measure() -> Found:
    """`livez_p99_ms_beside_large_posts`: of a GET every 5 ms, from when it was due, until the last of four
    posts that came at once was answered."""
    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        keys = [scratch.make_key(f"t{number}") for number in range(POSTS)]  # one tenant may not send four
        scratch.start_gateway()
        return asyncio.run(_measure(scratch.ports["gateway"], keys))


async def _measure(port: int, keys: Sequence[str]) -> Found:
    body = large_body()
    posts = [request("/v1/jobs", body, key) for key in keys]
    alone, beside, took = [], [], []
    for number in range(ROUNDS + 1):
        quiet = await _asked(port, asyncio.sleep(_ALONE_SECONDS))
        times, run = await while_posting(port, posts)
        if number:  # the first round warms up
            alone.append(p99_ms([seconds for _, seconds in quiet]))
            beside.append(p99_ms(times))
            took.append(run["seconds"])
    return Found(
        {"livez_p99_ms_beside_large_posts": Figure(beside)},
        {"livez_p99_ms_alone": alone, "large_posts_seconds": took},
    )


def large_body(size: int = BODY_BYTES) -> bytes:
    """A job with two pictures of noise, `size` bytes long."""
    spare = size - len(_body([b"", b""], ""))
    pictures = [_noise(spare // 2 // 4 * 3) for _ in range(2)]
    padding = "x" * (size - len(_body(pictures, "")))
    return _body(pictures, padding)


def _body(pictures: Sequence[bytes], padding: str) -> bytes:
    images = ["data:image/png;base64," + base64.b64encode(picture).decode() for picture in pictures]
    return json.dumps({**ORDER, "images": images}).encode() + b" " * len(padding)


def _noise(most: int) -> bytes:
    """An incompressible PNG of at most `most` bytes."""
    height = (most - most // 500 - 1000) // (_WIDTH * 3 + 1)
    file = io.BytesIO()
    picture = Image.frombytes("RGB", (_WIDTH, height), os.urandom(_WIDTH * height * 3))
    picture.save(file, "png", compress_level=0)
    return file.getvalue()


async def while_posting(
    port: int, posts: Sequence[bytes], seconds: float = 0
) -> tuple[list[float], dict[str, float]]:
    """Seconds that GETs took while the posts were under way; the run of the load client. Every connection
    sends its posts for `seconds`, and at least one."""
    posting = asyncio.create_task(asyncio.to_thread(bench.load, port, POSTS, seconds, posts))
    asked = await _asked(port, posting)
    run = posting.result()
    if run["bad"]:
        raise SystemExit("a large post was not answered with 202")
    end = run["began"] + run["seconds"]
    return [seconds for due, seconds in asked if run["began"] <= due <= end], run


async def _asked(port: int, until: Awaitable[object]) -> list[tuple[float, float]]:
    """A GET every 5 ms, one after the other: when it was due (epoch), seconds from then to its answer."""
    ends = asyncio.ensure_future(until)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked, due = [], time.time()
    while not ends.done():
        await asyncio.sleep(max(0.0, due - time.time()))
        writer.write(_LIVEZ)
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
        asked.append((due, time.time() - due))
        due += _EVERY_SECONDS
    writer.close()
    await ends
    return asked
