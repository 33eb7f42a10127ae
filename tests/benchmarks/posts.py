"""The floor under deliveries: prepared POSTs from a bare loop over the same HTTP client.

`python -m tests.benchmarks.posts AT_ONCE < posts`; a post is a line of JSON: url, headers, body. No store, no
signing, no lanes, no record of what came of it: what any sender would have to do at the least.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

import aiohttp
import uvloop


async def run(at_once: int, posts: Iterator[dict[str, Any]]) -> None:
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def one_after_the_other() -> None:
            for post in posts:
                data = post["body"].encode()
                async with session.post(post["url"], data=data, headers=post["headers"]) as answer:
                    await answer.read()
                    answer.raise_for_status()

        await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))


if __name__ == "__main__":
    lines = [json.loads(line) for line in sys.stdin]
    uvloop.run(run(int(sys.argv[1]), iter(lines)))
