"""The head of an answer and its body leave together, and nothing is held back for good."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from gateway.web.server.coalescing import CoalescingTransport

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Recorder:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def writelines(self, parts: Sequence[bytes]) -> None:
        self.sent.append(b"".join(parts))

    def close(self) -> None:
        self.sent.append(b"<closed>")

    def is_closing(self) -> bool:
        return self.sent[-1:] == [b"<closed>"]


def corked() -> tuple[CoalescingTransport, Recorder]:
    recorder = Recorder()
    return CoalescingTransport(cast(asyncio.Transport, recorder), asyncio.get_running_loop()), recorder


async def test_a_body_that_follows_at_once_leaves_with_its_head() -> None:
    transport, recorder = corked()
    transport.write(HEAD)
    transport.write(b"body")
    transport.write(b"more")
    await asyncio.sleep(0)
    assert recorder.sent == [HEAD + b"body", b"more"]


async def test_a_head_without_a_body_leaves_by_itself() -> None:
    transport, recorder = corked()
    transport.write(HEAD)
    await asyncio.sleep(0)
    assert recorder.sent == [HEAD]


async def test_a_head_leaves_before_the_connection_closes() -> None:
    transport, recorder = corked()
    transport.write(HEAD)
    transport.close()
    await asyncio.sleep(0)
    assert recorder.sent == [HEAD, b"<closed>"]
    assert transport.is_closing()


async def test_two_answers_keep_their_order() -> None:
    transport, recorder = corked()
    for number in (b"1", b"2"):
        transport.write(HEAD)
        transport.write(number)
    await asyncio.sleep(0)
    assert b"".join(recorder.sent) == HEAD + b"1" + HEAD + b"2"
