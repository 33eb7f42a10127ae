"""What the client of a fault run asks for: drawn by seed and number alone, so that a run can be had again."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

from tests.gateway.generation.media_samples import data_uri, image

TENANTS = ("acme", "globex")

#: Markers for the sandbox, by weight. `*1`: only the first creation of that prompt is struck.
UPSTREAM_FAULTS: dict[str, int] = {
    "": 52,
    "429*1": 3,
    "401*1": 1,
    "402*1": 1,
    "403*1": 1,
    "500*1": 2,
    "503*1": 2,
    "drop*1": 2,
    "drop_after_accept*1": 4,
    "slow=4": 2,
    "no_id*1": 1,
    "400*1": 1,
    "404*1": 1,
    "408*1": 1,
    "409*1": 1,
    "422*1": 1,
    "reset_early*1": 1,
    "500_after*1": 1,
    "503_after*1": 1,
    "no_id_after*1": 1,
    "truncated*1": 1,
    "garbage*1": 1,
    "not_json*1": 2,
    "instant": 2,
    "failed_task": 3,
    "no_url": 1,
    "unknown_status": 1,
    "hidden=2": 2,
    "lost_callback": 3,
    "duplicate_callback": 3,
    "early_callback": 3,
    "late_callback=2": 2,
    "reordered_callback": 2,
    "crossed_callback": 2,
    "forged_callback": 2,
    "oversize_callback": 1,
    "garbled_callback": 1,
    "callback_without_id": 1,
    "drop_after_accept lost_callback": 3,  # paid for, and no sign of it: never known
    "drop_after_accept late_callback=12": 2,  # a sign of it after the grace window
}
POLICIES = {"hold": 60, "resubmit": 30, "manual": 10}
PATHS = {"": 25, "good": 25, "moody": 45, "gone": 5}


@dataclass(frozen=True)
class Mix:
    """What orders are like, by weight. `inline`: the share of those with a file inside."""

    faults: dict[str, int]
    policies: dict[str, int]
    paths: dict[str, int]
    inline: float = 0.0


STORMY = Mix(UPSTREAM_FAULTS, POLICIES, PATHS)
#: An upstream that does what it should, but for callbacks: the fault is elsewhere.
CALM = Mix(
    {
        "": 70,
        "slow=2": 5,
        "failed_task": 5,
        "lost_callback": 8,
        "late_callback=2": 4,
        "early_callback": 4,
        "duplicate_callback": 4,
    },
    {"hold": 70, "resubmit": 30},
    {"": 10, "good": 70, "moody": 20},
    inline=0.25,
)

_BODY = {
    "model": "viduq2_pro_reference",
    "images": ["https://cdn.example.com/a.png"],
    "duration": 5,
    "resolution": "720p",
}


@dataclass(frozen=True)
class Order:
    """`path`: of the subscriber, empty for no callback_url. `cancel_after`: seconds, or None."""

    number: int
    key: str
    tenant: str
    body: bytes
    policy: str
    path: str
    faults: str
    inline: bool = False
    cancel_after: float | None = None
    headers: dict[str, str] = field(default_factory=dict)


def draw(seed: int, number: int, subscriber: str, *, gone: bool = True, mix: Mix = STORMY) -> Order:
    """`subscriber`: its base URL. `gone`: also order webhooks to a path that never takes one."""
    chance = random.Random(f"order {seed} {number}")
    tenant = chance.choice(TENANTS)
    faults = _weighted(chance, mix.faults)
    policy = _weighted(chance, mix.policies)
    name = _weighted(chance, mix.paths)
    path = f"/{tenant}/{'good' if name == 'gone' and not gone else name}" if name else ""
    marks = "".join(f" [[fault:{fault}]]" for fault in faults.split())
    body = {**_BODY, "prompt": f"order {number} of run {seed}{marks}"}
    if path:
        body["callback_url"] = subscriber + path
    inline = mix.inline > 0 and chance.random() < mix.inline
    if inline:
        body["images"] = [data_uri("image/png", image("png"))]
    return Order(
        number=number,
        key=f"run-{seed}-{number}",
        tenant=tenant,
        body=json.dumps(body).encode(),
        policy=policy,
        path=path,
        faults=faults,
        inline=inline,
        cancel_after=chance.uniform(0, 0.8) if chance.random() < 0.05 else None,
        headers={"Gateway_On_Unknown": policy} | _deadline(chance),
    )


def _deadline(chance: random.Random) -> dict[str, str]:
    return {"Gateway_Start_Deadline": "3"} if chance.random() < 0.02 else {}


def _weighted(chance: random.Random, table: dict[str, int]) -> str:
    return chance.choices(list(table), list(table.values()))[0]
