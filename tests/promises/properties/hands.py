"""What a worker has in its hands, and the few things that the machines share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.dispatch import Role, Ticket
from gateway.jobs import Job
from gateway.upstream.base import (
    Accepted,
    AccountRefused,
    Busy,
    Found,
    Inconclusive,
    Missing,
    QueryOutcome,
    Rejected,
    Snapshot,
    SubmitOutcome,
    TaskStatus,
    Unknown,
    UpstreamError,
)
from tests.promises.properties.dump import Dump

T = TypeVar("T")

#: What may differ when a call was made twice: counters, the account's own arithmetic, and when to poll next.
_NOISE = (
    *(
        "tally",
        "timings",
        "account:",
        "submit:account_turn",
        "submit:refused",
        "durations",
        "confirm:",
        "callbacks:path",
    ),
)

_ERROR = UpstreamError("Nope", "no")
_STATUS = {
    "working": TaskStatus.IN_PROGRESS,
    "completed": TaskStatus.COMPLETED,
    "failed": TaskStatus.FAILED,
    "canceled": TaskStatus.CANCELED,
}


@dataclass(slots=True)
class Hands:
    """A submission as its worker sees it. `released`: what the gate said, None before it was asked."""

    ticket: Ticket
    job: Job
    run: str
    released: bool | None = None


def pick(things: Sequence[T], number: int) -> T:
    return things[number % len(things)]


def held(dump: Dump, role: Role) -> list[Ticket]:
    """The tickets that a worker may have been given, each with its newest number."""
    holders = dump.role(role).holders
    return [Ticket.parse(role, text, int(number)) for text, number in sorted(holders.items())]


def without_noise(dump: Dump) -> dict[str, Any]:
    """All but what only records what happened, and may record it twice, with the bytes that it takes."""
    return {
        k: {name: text for name, text in value.items() if name != "bytes"}
        if isinstance(value, dict)
        else value
        for k, value in dump.keys.items()
        if not k.removeprefix("{gw}:").startswith(_NOISE) and not k.endswith(":audit")
    }


def answer_of(kind: str, task: str) -> SubmitOutcome:
    outcomes: dict[str, Callable[[], SubmitOutcome]] = {
        "accepted": lambda: Accepted(task),
        "busy": lambda: Busy("429"),
        "busy, later": lambda: Busy("429", 30.0),
        "unreachable": lambda: Busy("no connection", reached=False),
        "refused": lambda: AccountRefused(_ERROR, 401),
        "rejected": lambda: Rejected(_ERROR),
        "unknown": lambda: Unknown("the connection broke"),
    }
    return outcomes[kind]()


def shown(task: str, kind: str) -> QueryOutcome:
    if kind == "missing":
        return Missing()
    if kind == "later":
        return Inconclusive("503")
    content: list[dict[str, object]] = [
        {"content": [{"type": "video", "url": f"https://cdn.example.com/{task}"}]}
    ]
    output = content if kind == "completed" else []
    return Found(Snapshot(task, _STATUS[kind], kind, output=output))
