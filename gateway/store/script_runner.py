"""Runs our Lua scripts: functions of a library that Redis keeps, called by name.

Calls made at the same time share a round trip: under load, many calls cost one write to the socket and, with
`appendfsync always`, one wait for the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gateway.environment import no_crash_point
from gateway.store.client import store_errors
from gateway.store.function_loader import FunctionLoader, is_missing
from gateway.store.script_library import as_script, library

_BATCH: Final = 8  # with more, Redis would be idle while we collect, and we while it works

Word = str | bytes | int | float


class Scripts:
    """`run("verb", keys, args)` is one atomic, durable step. `reach`: the crash points around each."""

    def __init__(self, redis: Redis, reach: Callable[[str], Awaitable[None]] = no_crash_point) -> None:
        self._pool: Any = redis.connection_pool
        self._reach = reach
        self._functions = library().functions
        self._loader = FunctionLoader(redis)
        self._queued: list[tuple[Sequence[Word], asyncio.Future[Any]]] = []
        self._in_flight: set[asyncio.Task[None]] = set()

    async def run(
        self, verb: str, keys: Sequence[str], args: Sequence[Word], *, effect: str | None = None
    ) -> Any:
        """The script's reply, with strings decoded. Raises StoreUnavailable when Redis does not answer; the
        script may have run anyway. `effect`: the name of its crash points, if not the verb."""
        name = effect or verb
        await self._reach(f"{name}.before")
        with store_errors():
            answer = await self._call(verb, (len(keys), *keys, *args))
        await self._reach(f"{name}.after")
        return answer

    async def passed(self, effect: str) -> None:
        """The crash points of a step that was taken together with another."""
        await self._reach(f"{effect}.before")
        await self._reach(f"{effect}.after")

    async def _call(self, verb: str, arguments: Sequence[Word]) -> Any:
        for _ in range(2):
            try:
                return await self._enqueue(("FCALL", self._functions[verb], *arguments))
            except ResponseError as error:
                if not is_missing(error):
                    raise
            if not await self._loader.load():
                break
        # a full Redis takes no library, and must finish its jobs all the same
        return await self._enqueue(("EVAL", as_script(verb), *arguments))

    def _enqueue(self, command: Sequence[Word]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if not self._queued:
            loop.call_soon(self._send)
        self._queued.append((command, answer))
        if len(self._queued) == _BATCH:
            self._send()
        return answer

    def _send(self) -> None:
        queued, self._queued = self._queued, []
        if queued:
            sending = asyncio.create_task(self._round_trip(queued))
            self._in_flight.add(sending)  # asyncio keeps no reference: the task could be collected
            sending.add_done_callback(self._in_flight.discard)

    async def _round_trip(self, batch: Sequence[tuple[Sequence[Word], asyncio.Future[Any]]]) -> None:
        replies: Sequence[Any]
        try:
            replies = await self._exchange([command for command, _ in batch])
        except Exception as error:  # noqa: BLE001  # every caller gets the error, whatever it is
            replies = [error] * len(batch)
        for (_, answer), reply in zip(batch, replies, strict=True):
            if answer.done():  # its caller was cancelled
                continue
            if isinstance(reply, Exception):
                answer.set_exception(reply)
            else:
                answer.set_result(reply)

    async def _exchange(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """Sends all commands, then reads all replies, including errors of single commands. redis-py's
        pipeline does more per command than the command itself costs."""
        connection = await self._pool.get_connection()
        try:
            packed = connection.pack_commands(commands)

            async def send_and_read() -> list[Any]:
                await connection.send_packed_command(packed, check_health=False)
                return [await _reply(connection) for _ in commands]

            replies: list[Any] = await connection.retry.call_with_retry(
                send_and_read, lambda _: connection.disconnect()
            )
            return replies
        except BaseException:
            await connection.disconnect(nowait=True)  # unread replies may still arrive on it
            raise
        finally:
            await self._pool.release(connection)


async def _reply(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
