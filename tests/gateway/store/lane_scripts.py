"""The functions of the shared parts, called from a test: at a time that it chooses, where they take one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio import Redis

from gateway.store import script_library

#: The shared parts, for EVAL.
PARTS: Final = script_library.tables(script_library.parts()) + "call.begin()\n"

ENTER: Final = """
local kinds = { new = false, again = true, recovered = 'recovered' }
lanes.enter(ARGV[1], ARGV[2], tonumber(ARGV[4]), kinds[ARGV[3]])
"""
LEAVE: Final = "lanes.finish(ARGV[1], ARGV[2])"
REACTIVATE: Final = "lanes.reactivate(ARGV[1], ARGV[2])"
SET_DUE: Final = "lanes.set_due(ARGV[1], ARGV[2], tonumber(ARGV[3]))"
GIVE_BACK: Final = "lanes.give_back(ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))"
DISPATCH: Final = "return dispatching.tick(cjson.decode(ARGV[1]), tonumber(ARGV[2]))"
JUDGE: Final = "circuit_breaker.judge(cjson.decode(ARGV[1]), cjson.decode(ARGV[2]), tonumber(ARGV[3]))"

Call = Callable[..., Awaitable[Any]]


def as_call(snippet: str) -> str:
    """The snippet as the body of a verb: what it leaves to the end of its call is done."""
    return f"return lanes.run_call(function()\n{snippet}\nend)"


def caller(redis: Redis) -> Call:
    """`await call(ENTER, role, ticket, kind, now)` and so on."""

    async def call(snippet: str, *args: Any) -> Any:
        return await redis.eval(PARTS + as_call(snippet), 0, *args)  # type: ignore[misc]

    return call
