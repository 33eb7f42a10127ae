"""Fills a store with jobs fast: the command that accepted one is sent again for each, with another name.

The script is the product's own and runs once for each job; what is spared is the client's work and, while it
lasts, the append-only file.
"""

from __future__ import annotations

import ast
import asyncio
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import hiredis
import redis

from gateway.environment import Environment
from tests.publisher import Publisher

_CHUNK = 500
_AHEAD = 2
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"')


async def accept_command(told: Publisher, url: str, tenant: str) -> tuple[str, list[bytes]]:
    """The job that was accepted, and the words of the command that did so, as the server got them."""
    await told.accept([tenant])  # the server knows the script from now on
    with redis.Redis.from_url(url) as client, client.monitor() as monitor:
        [job] = await told.accept([tenant])
        return job.id, await asyncio.to_thread(_seen, monitor, job.id)


def _seen(monitor: Any, job: str) -> list[bytes]:
    while True:
        line = monitor.connection.read_response()
        text = line.decode() if isinstance(line, bytes) else line
        words = [ast.literal_eval("b" + word) for word in _WORD.findall(text)]
        if words[0].upper() in (b"EVALSHA", b"FCALL") and job in text:
            return words


def fill(url: str, job: str, tenant: str, words: Sequence[bytes], tenants: Iterable[str]) -> None:
    """A job more for each of these tenants, whose names are as long as `tenant`."""
    with redis.Redis.from_url(url) as client:
        client.config_set("appendonly", "no")
        _send(client, _commands(job.encode(), tenant.encode(), words, tenants))
        client.config_set("appendonly", "yes")
        while _rewrites(client.info("persistence")):
            time.sleep(0.1)
        # No rewrite of the whole file while something is measured.
        client.config_set("auto-aof-rewrite-percentage", 0)


def _rewrites(persistence: Any) -> bool:
    return bool(persistence["aof_rewrite_in_progress"] or persistence["aof_rewrite_scheduled"])


def _commands(job: bytes, tenant: bytes, words: Sequence[bytes], tenants: Iterable[str]) -> Iterator[bytes]:
    new_id = Environment().new_job_id
    pack: Any = hiredis.pack_command  # its stub knows tuples of one word only
    template: bytes = pack(tuple(words))
    for name in tenants:
        if len(name) != len(tenant):
            raise ValueError(f"{name} must be as long as {tenant.decode()}")
        yield template.replace(job, new_id().encode()).replace(tenant, name.encode())


def _send(client: redis.Redis, commands: Iterator[bytes]) -> None:
    """A few chunks ahead of the replies, so that the server never waits."""
    pool = client.connection_pool
    connection = pool.get_connection()
    pending: list[int] = []
    try:
        while chunk := list(islice(commands, _CHUNK)):
            connection.send_packed_command([b"".join(chunk)])
            pending.append(len(chunk))
            if len(pending) > _AHEAD:
                _read(connection, pending.pop(0))
        for count in pending:
            _read(connection, count)
    finally:
        pool.release(connection)


def _read(connection: Any, count: int) -> None:
    for _ in range(count):
        reply = connection.read_response()
        if reply[0] not in (b"accepted", "accepted"):
            raise SystemExit(f"a job was not accepted: {reply}")
