"""Replies that mean "not here": a server that does not, or not any more, serve our keys.

After a failover, behind a name that moved, or in a cluster, an open connection may lead to the wrong server
for ever. Only a new connection finds the right one, so such a reply drops the connection and counts as a
lost one.
"""

from __future__ import annotations

import re
from typing import Final

import structlog
from redis.exceptions import (
    ConnectionError,  # noqa: A004
    ReadOnlyError,
    RedisError,
)

_CODES: Final = (
    *("READONLY", "MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN"),
    "UNBLOCKED",  # a blocking call of a server that has just become a replica
)
#: A script was stopped half way, because its slot is being moved key by key. Its first writes stay.
_CUT_OFF: Final = "non local key"
_ADVICE: Final = (
    "the slot of our keys is being moved key by key while the service runs, so its writes are not atomic; "
    "stop workers and gateways, move the slot, and start them again"
)

#: Redis 7 and Valkey 7 and 8 name the function of ours (`script_library.build`), Valkey 9 only the line.
_FUNCTION: Final = re.compile(r" script: ([a-z_]+)_\d+_[0-9a-f]{16}, on ")


class NotHereError(ConnectionError):
    """Another server serves our keys, or will do so soon. redis-py retries it as a lost connection."""


class TooFewReplicasError(RedisError):
    """What was written may be lost if the primary fails now. Sending it again would not help."""


class NobodyKnowsError(NotHereError):
    """Nobody who should know where the primary is says so."""


def not_here(reply: Exception) -> str | None:
    """Why the server that sent this error reply does not serve our keys; None if it does."""
    if isinstance(reply, ReadOnlyError):  # redis-py removes the code from its text
        return "READONLY"
    text = str(reply)
    if _CUT_OFF in text:
        return "a slot that is being moved"
    code = text.partition(" ")[0]
    return code if code in _CODES else None


def check_served(reply: Exception) -> None:
    """Raises NotHereError if the server that sent this error reply does not serve our keys."""
    reason = not_here(reply)
    if reason is None:
        return
    if _CUT_OFF in (text := str(reply)):
        named = _FUNCTION.search(text)
        verb = named[1] if named else None
        structlog.get_logger().error("script_cut_off", verb=verb, reply=text, reason=_ADVICE)
    raise NotHereError(reason) from reply
