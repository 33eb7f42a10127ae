"""The floor under latencies: a bare loop that does one durable write and one POST for each event.

`python -m tests.benchmarks.paced PER_SECOND < posts` starts each when it is due, whatever became of those
before. A post is a line of JSON: name, url, headers, body. Prints {name: when it began, in seconds since the
epoch}. No queue, no second process, no signature, no record of what came of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import uvloop
from redis.asyncio import Redis

#: What a timer may be late by without anything having waited.
_TIMER_SECONDS = 0.002
_START_SECONDS = 0.2


async def run(per_second: float, posts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    redis = Redis.from_url(os.environ["GATEWAY_REDIS_URL"])
    async with redis, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        began = time.time() + _START_SECONDS

        async def one(post: Mapping[str, Any], due: float) -> float:
            await asyncio.sleep(max(0.0, due - time.time()))
            at = time.time()
            await redis.set("floor:" + post["name"], post["body"])
            data = post["body"].encode()
            async with session.post(post["url"], data=data, headers=post["headers"]) as answer:
                await answer.read()
                answer.raise_for_status()
            return at if at - due < _TIMER_SECONDS else due

        times = await asyncio.gather(
            *(one(post, began + number / per_second) for number, post in enumerate(posts))
        )
    return {post["name"]: at for post, at in zip(posts, times, strict=True)}


def paced(
    environment: Mapping[str, str], per_second: float, posts: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """One run of it, in its own process."""
    said = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.paced", str(per_second)],
        env=dict(environment),
        input="\n".join(map(json.dumps, posts)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(said.stdout)
    return found


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(float(sys.argv[1]), [json.loads(line) for line in sys.stdin]))))
