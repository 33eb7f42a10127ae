"""Downloads references that are URLs to files, with limits of time and size."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import NamedTuple

import aiohttp

from gateway.sandbox.refusals import TaskFailed

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
_CHUNK = 64 * 1024
LIMITS = {"Image": 50 * 2**20, "Video": 100 * 2**20}


class Fetched(NamedTuple):
    """What was downloaded: bytes, and their SHA-256 in hexadecimal."""

    size: int
    sha256: str


async def download(session: aiohttp.ClientSession, url: str, path: Path, kind: str) -> Fetched:
    """`kind`: Image or Video. TaskFailed with the code {kind}DownloadFailure."""
    try:
        async with session.get(url, timeout=_TIMEOUT) as reply:
            if reply.status != 200:
                raise _failure(kind, f"its server answered {reply.status}")
            return await _save(reply, path, kind)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise _failure(kind, type(error).__name__) from None


async def _save(reply: aiohttp.ClientResponse, path: Path, kind: str) -> Fetched:
    size, digest = 0, hashlib.sha256()
    with path.open("wb") as file:
        async for chunk in reply.content.iter_chunked(_CHUNK):
            size += len(chunk)
            if size > LIMITS[kind]:
                raise _failure(kind, f"it is larger than {LIMITS[kind]} bytes")
            digest.update(chunk)
            await asyncio.to_thread(file.write, chunk)
    return Fetched(size, digest.hexdigest())


def _failure(kind: str, reason: str) -> TaskFailed:
    return TaskFailed(
        f"{kind}DownloadFailure", f"a reference {kind.lower()} could not be downloaded: {reason}"
    )
