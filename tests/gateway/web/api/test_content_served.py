"""Files of results over real sockets: large ones, readers that leave, and readers that do not read."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.media.links import content_link
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.web.api import stored_content
from gateway.web.server.protocol import HardenedProtocol
from tests.gateway.web.api.copying import completed, copied
from tests.gateway.web.api.hearing import SECONDS, Serving, serving
from tests.gateway.web.api.test_events_life import become
from tests.gateway.web.conftest import MakeKey

LARGE = os.urandom(1 << 20) * 32


@pytest.fixture
def server(settings: Settings, empty_redis: None) -> Iterator[Serving]:
    with serving(settings) as found:
        yield found


@pytest.fixture
async def client(server: Serving, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {await make_key()}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=SECONDS) as opened:
        yield opened


async def link(resources: Resources, **changes: Any) -> str:
    """The path of a link to a large video. `changes`: of its asset."""
    job = await copied(resources, await completed(resources), raw=LARGE, **changes)
    until = int(resources.environment.clock()) + 600
    return content_link(resources.keyring, "", job.id, "video", until)


def open_files(folder: Path) -> list[str]:
    """Files of the store that this process, and so the server, has open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return [path for path in found if path.startswith(str(folder.resolve()))]


def reader(server: Serving, path: str) -> socket.socket:
    """A client that has asked for the file and has read nothing yet."""
    parts = urlsplit(server.url)
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.settimeout(SECONDS)
    wire.connect((parts.hostname, parts.port))
    wire.sendall(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    return wire


async def test_a_large_file_arrives_whole_in_parts_that_fit_together(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job = await copied(resources, await completed(resources), raw=LARGE)
    path = f"/v1/jobs/{job.id}/content"
    whole = await client.get(path)
    assert hashlib.sha256(whole.content).hexdigest() == whole.headers["etag"].strip('"')
    middle = len(LARGE) // 2 + 1
    first, rest = [
        await client.get(path, headers={"Range": f"bytes={part}", "If-Range": whole.headers["etag"]})
        for part in (f"0-{middle - 1}", f"{middle}-")
    ]
    assert (first.status_code, rest.status_code) == (206, 206)
    assert first.content + rest.content == LARGE
    refused = await client.get(path, headers={"Range": f"bytes={len(LARGE)}-"})
    assert refused.headers["content-range"] == f"bytes */{len(LARGE)}"
    assert (await client.head(path)).headers["content-length"] == str(len(LARGE))
    assert (await client.get(path, headers={"If-None-Match": whole.headers["etag"]})).status_code == 304


async def test_a_reader_that_leaves_closes_its_file(
    server: Serving, resources: Resources, settings_folder: Path
) -> None:
    """Of a terabyte, which nobody reads to its end for nothing."""
    path = await link(resources, size=1 << 40)
    job_id = path.split("/")[3]
    os.truncate(settings_folder / f"results/{job_id}/video.mp4", 1 << 40)
    wire = reader(server, path)
    assert wire.recv(12) == b"HTTP/1.1 200"
    assert len(open_files(settings_folder)) == 1
    assert server.state.held.sum("content") == 1
    wire.close()
    await become(lambda: open_files(settings_folder) == [] and server.state.held.sum("content") == 0)


async def test_a_reader_that_does_not_read_is_left(
    server: Serving, resources: Resources, settings_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HardenedProtocol, "UNREAD_SECONDS", 0.2)
    with reader(server, await link(resources)) as wire:
        assert wire.recv(12) == b"HTTP/1.1 200"
        await become(lambda: open_files(settings_folder) == [] and server.state.held.sum("content") == 0)


async def test_readers_of_a_leaked_link_take_neither_memory_nor_the_owner_s_turn(
    server: Serving, client: httpx.AsyncClient, resources: Resources, settings_folder: Path
) -> None:
    path = await link(resources)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wires = [reader(server, path) for _ in range(stored_content.PER_JOB + 10)]
    heads = [wire.recv(12) for wire in wires]
    assert heads.count(b"HTTP/1.1 200") == stored_content.PER_JOB
    assert heads.count(b"HTTP/1.1 429") == 10
    assert len(open_files(settings_folder)) == stored_content.PER_JOB
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < len(LARGE) // 1024, "kilobytes: far less than one whole file"
    served = await client.get(urlsplit(path).path, headers={"Range": "bytes=0-9"})
    assert served.content == LARGE[:10]
    for wire in wires:
        wire.close()
    await become(lambda: server.state.held.sum("content") == 0)
    async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as nobody:
        answer = await nobody.get(path)
        assert len(answer.content) == len(LARGE)


async def test_other_requests_are_answered_while_a_file_is_read(
    server: Serving, client: httpx.AsyncClient, resources: Resources
) -> None:
    path = await link(resources)
    wires = [reader(server, path) for _ in range(4)]
    async with asyncio.timeout(SECONDS):
        assert (await client.get("/v1/jobs")).status_code == 200
    for wire in wires:
        wire.close()
