"""The local functions of the scripts, called from a test: at a time that it chooses, where they take one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio import Redis

from gateway.store import script_runner

#: What the loader puts before every script.
PARTS: Final = script_runner.shared_parts()

ENTER: Final = """
local kinds = { new = false, again = true, recovered = 'recovered' }
enter_lane(ARGV[1], ARGV[2], tonumber(ARGV[4]), kinds[ARGV[3]])
"""
LEAVE: Final = "finish_ticket(ARGV[1], ARGV[2])"
REACTIVATE: Final = "reactivate(ARGV[1], ARGV[2])"
SET_DUE: Final = "set_due(ARGV[1], ARGV[2], tonumber(ARGV[3]))"
GIVE_BACK: Final = "give_back(ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))"
DISPATCH: Final = "return dispatch_all(cjson.decode(ARGV[1]), tonumber(ARGV[2]))"
JUDGE: Final = "judge_lane(cjson.decode(ARGV[1]), cjson.decode(ARGV[2]), tonumber(ARGV[3]))"

Call = Callable[..., Awaitable[Any]]


def caller(redis: Redis) -> Call:
    """`await call(ENTER, role, ticket, kind, now)` and so on."""

    async def call(snippet: str, *args: Any) -> Any:
        return await redis.eval(PARTS + snippet, 0, *args)  # type: ignore[misc]

    return call
