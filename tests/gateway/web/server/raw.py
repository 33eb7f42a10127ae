"""Raw bytes to the server's HTTP protocol and back, with a small application behind it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.web.server.protocol import PEER, HardenedProtocol

HEAD_SECONDS = 0.3


class QuickProtocol(HardenedProtocol):
    """The same with a short deadline, so that the tests are quick."""

    HEAD_SECONDS = HEAD_SECONDS
    UNREAD_SECONDS = HEAD_SECONDS


async def app(scope: Any, receive: Any, send: Any) -> None:
    """200 with the length of the body; /early answers before the body; /slow takes twice the deadline;
    /who shows the Authorization; /peer where the connection and its client come from; /much answers more than
    a connection holds unread."""
    length, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length, more = length + len(message["body"]), message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(2 * HEAD_SECONDS)
    text = f"{scope['path']} {length}".encode()
    if scope["path"] == "/who":
        text = dict(scope["headers"]).get(b"authorization", b"nobody")
    if scope["path"] == "/peer":
        text = f"{scope[PEER]} {scope['client'][0]}".encode()
    if scope["path"] == "/much":
        text = b"a" * 50_000_000
    headers = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for at in range(0, len(text), 1_000_000):
        await send({"type": "http.response.body", "body": text[at : at + 1_000_000], "more_body": True})
    await send({"type": "http.response.body"})


@asynccontextmanager
async def serving(protocol: type[HttpToolsProtocol] = QuickProtocol) -> AsyncIterator[int]:
    config = Config(app, log_config=None, access_log=False, ws="none", timeout_keep_alive=2)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.gather(*state.tasks, return_exceptions=True)


async def exchange(port: int, *parts: bytes, patience: float = 1.5) -> tuple[bytes, bool]:
    """Sends the parts, one every 50 ms; -> all that came, and whether the server hung up in time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = bytearray()

    async def listen() -> None:
        try:
            while piece := await reader.read(65_536):
                answer.extend(piece)
        except OSError:
            pass

    listening = asyncio.create_task(listen())
    for part in parts:
        if not listening.done():
            writer.write(part)
        await asyncio.sleep(0.05)
    await asyncio.wait([listening], timeout=patience)
    hung_up = listening.done()
    writer.transport.abort()
    await listening
    return bytes(answer), hung_up


async def served(port: int, *parts: bytes) -> bytes:
    """Sends the parts, and then a request to be the last: all that came before its answer. Of a server that
    hangs up before, all that came."""
    answer, hung_up = await exchange(port, *parts, GOODBYE, patience=30)
    assert hung_up
    return answer.rpartition(b"HTTP/1.1 ")[0] if answer.endswith(b"/goodbye 0") else answer


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", answer)]


GOODBYE = b"GET /goodbye HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\n"
