"""Named crash points for fault tests. The n-th time that the process reaches one, it dies, freezes, or loses
the answer of Redis.

`GATEWAY_CRASH_POINTS=release.after:1:kill,accept.after:3:lose_reply,claimed.before:1:freeze=2.5`
"""

from __future__ import annotations

import math
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import structlog

from gateway.environment import no_crash_point
from gateway.errors import ConfigurationError, StoreUnavailable

Reach = Callable[[str], Awaitable[None]]

_POINT: Final = re.compile(
    r"(?P<name>[a-z0-9_.]+):(?P<time>[1-9][0-9]*):(?P<action>[a-z_]+)(?:=(?P<seconds>.+))?"
)
_FORM: Final = "name:n:kill, name:n:freeze=SECONDS or name:n:lose_reply"


class Fault(NamedTuple):
    action: str
    seconds: float = 0.0


def parse(text: str) -> dict[tuple[str, int], Fault]:
    """The faults of the setting, by (point, n-th time it is reached). ConfigurationError."""
    return dict(_fault(part.strip()) for part in text.split(",") if part.strip())


def make_reach(text: str) -> Reach:
    """The function for `Environment.reach`. If the text is empty, it does nothing. ConfigurationError."""
    faults = parse(text)
    if not faults:
        return no_crash_point
    structlog.get_logger().warning("crash_points_set", points=text, note="this process is made to fail")
    reached: Counter[str] = Counter()

    async def reach(point: str) -> None:
        reached[point] += 1
        fault = faults.get((point, reached[point]))
        if fault is not None:
            _trigger(point, fault)

    return reach


def _fault(part: str) -> tuple[tuple[str, int], Fault]:
    found = _POINT.fullmatch(part)
    if not found:
        raise _invalid(part, f"is not {_FORM}")
    name, action, seconds = found["name"], found["action"], found["seconds"]
    if action not in ("kill", "freeze", "lose_reply") or (seconds is not None) != (action == "freeze"):
        raise _invalid(part, f"is not {_FORM}")
    if action == "lose_reply" and not name.endswith(".after"):
        raise _invalid(part, "can lose a reply only at a point that ends in .after")
    return (name, int(found["time"])), Fault(action, _seconds(part, seconds) if seconds else 0.0)


def _seconds(part: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise _invalid(part, "has no positive number of seconds")
    return seconds


def _invalid(part: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"GATEWAY_CRASH_POINTS: {part!r} {what}")


def _trigger(point: str, fault: Fault) -> None:
    structlog.get_logger().warning("crash_point", point=point, action=fault.action)
    match fault.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "freeze":
            time.sleep(fault.seconds)  # blocks the whole process, so that its leases run out too
        case _:
            raise StoreUnavailable(f"the reply was lost at {point}")
