"""What goes wrong in a run, when and where: drawn by seed, before the run."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.promises.faults.proxy import Weather
from tests.promises.faults.world import GATEWAYS, LINKS, WORKERS

#: How many of each at scale 1. A worker or gateway that is killed is started again, half of the times with a
#: crash point armed, where it then dies, freezes or loses an answer by itself.
COUNTS = {
    "kill_worker": 62,
    "kill_gateway": 28,
    "kill_valkey": 10,
    "power_loss": 12,
    "freeze": 20,
    "partition": 42,
    "restart": 8,
    "forge": 18,
}
WORKER_POINTS = (
    *(
        "claimed.after",
        "release.before",
        "release.after",
        "submit.last_byte.before",
        "submit.last_byte.after",
    ),
    *(
        "submit.answered",
        "upstream_accepted.before",
        "upstream_accepted.after",
        "query.before",
        "query.after",
    ),
    *(
        "upstream_succeeded.before",
        "upstream_succeeded.after",
        "begin_delivery.before",
        "begin_delivery.after",
    ),
    *("attempt_succeeded.before", "attempt_succeeded.after", "outcome_lost.before", "outcome_lost.after"),
)
GATEWAY_POINTS = ("accept.before", "accept.after", "callback.before", "callback.after")
_SEVERED = tuple(weather for weather in Weather if weather is not Weather.PASS)
_VALUES = {Weather.LATENCY: (0.05, 0.6), Weather.THROTTLE: (400.0, 4000.0)}
_FREEZE_SECONDS = 3.0
_GAPS = (0.4, 1.2)
_RESTING = {"kill_worker": 3.0, "kill_gateway": 2.5, "restart": 7.0, "freeze": 0.5, "partition": 0.5}


@dataclass(frozen=True)
class Fault:
    """`at`: seconds from the start. `seconds`: how long it lasts. `detail`: a crash point or a weather."""

    at: float
    kind: str
    target: str
    seconds: float = 0.0
    detail: str = ""
    value: float = 0.0


def draw(scale: float, seed: int) -> list[Fault]:
    """Earliest first. No fault strikes a target that another one still holds."""
    chance = random.Random(f"plan {seed}")
    waiting = [fault for kind, count in COUNTS.items() for fault in _of(kind, count, scale, chance)]
    chance.shuffle(waiting)
    free: dict[str, float] = {}
    now, drawn = 1.0, []
    while waiting:
        found = next((fault for fault in waiting if free.get(fault.target, 0.0) <= now), None)
        if found is None:
            now += 0.2
            continue
        waiting.remove(found)
        drawn.append(Fault(now, found.kind, found.target, found.seconds, found.detail, found.value))
        free[found.target] = now + found.seconds + _RESTING.get(found.kind, 1.0)
        if found.kind == "restart":
            for name in _rolled(found.target):
                free[name] = free[found.target]
        now += chance.uniform(*_GAPS)
    return drawn


def _rolled(target: str) -> tuple[str, ...]:
    return WORKERS if target == "workers" else GATEWAYS


def _of(kind: str, count: int, scale: float, chance: random.Random) -> list[Fault]:
    number = max(1, round(count * scale))
    return [_one(kind, place, chance) for place in range(number)]


def _action(point: str, place: int) -> str:
    """Mostly death; now and then a freeze beyond the lease just there, or an answer of Redis that is lost."""
    if place % 5 == 3:
        return f"freeze={_FREEZE_SECONDS:g}"
    redis = point.endswith(".after") and not point.startswith(("submit", "query", "deliver"))
    return "lose_reply" if place % 5 == 1 and redis else "kill"


def _one(kind: str, place: int, chance: random.Random) -> Fault:
    if kind in ("kill_worker", "kill_gateway"):
        names, points = (WORKERS, WORKER_POINTS) if kind == "kill_worker" else (GATEWAYS, GATEWAY_POINTS)
        point = points[place // 2 % len(points)]
        action = _action(point, place // 2)
        often = point.startswith(("accept", "callback", "claimed", "release", "query", "begin", "submit"))
        detail = f"{point}:{chance.randint(1, 3) if often else 1}:{action}" if place % 2 else ""
        return Fault(0, kind, names[chance.randrange(2)], chance.uniform(0, 1.5), detail)
    if kind == "freeze":
        return Fault(0, kind, chance.choice(WORKERS), chance.uniform(1, 6))
    if kind == "partition":
        weather = _SEVERED[place // len(LINKS) % len(_SEVERED)]
        value = chance.uniform(*_VALUES.get(weather, (0.0, 0.0)))
        return Fault(0, kind, LINKS[place % len(LINKS)], chance.uniform(0.5, 4), weather, value)
    if kind == "restart":
        return Fault(0, kind, ("workers", "gateways")[place % 2])
    return Fault(0, kind, "gateways" if kind == "forge" else "valkey", chance.uniform(0, 1.5))
