"""What is said in callbacks and in which order, with every fault that bends it. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from gateway.sandbox.faults import Fault
from gateway.sandbox.tasks import Files, Task

_ATTEMPTS_AT_THE_END = 4
_OVERSIZE = 300_000
#: Each takes the place of the callback of the end. The first that is due strikes.
_INSTEAD = (
    "lost_callback",
    "crossed_callback",
    "oversize_callback",
    "garbled_callback",
    "callback_without_id",
)
Say = Callable[[Task], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """`status`: the task's, as the body tells it. `mutation`: the fault that bent it. `forgery`: in which way
    the token is false; a false one is not signed with the true key either. `crossed_with`: the other
    task, which the body speaks of."""

    url: str
    body: bytes = field(repr=False)
    status: str
    attempts: int = 1
    delay: float = 0.0
    mutation: str | None = None
    forgery: str | None = None
    crossed_with: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`steps`: one after the other; the calls of one step side by side. `struck`: the faults at work."""

    steps: list[list[Call]]
    struck: list[Fault]


def plan_of_change(task: Task, say: Say, other: Task | None) -> Plan:
    """What follows from the state the task is in now. `other`: the newest task that is not this one."""
    if not task.has_ended:
        if "reordered_callback" in task.faults:
            return Plan([], [])
        return Plan([[Call(task.order.callback_url, orjson.dumps(say(task)), task.status)]], [])
    return _plan_of_end(task, say, other)


def _plan_of_end(task: Task, say: Say, other: Task | None) -> Plan:
    url, faults = task.order.callback_url, task.faults
    instead = next((name for name in _INSTEAD if name in faults), None)
    if instead == "crossed_callback" and other is None:
        instead = None
    steps: list[list[Call]] = []
    struck = [instead] if instead else []
    if "forged_callback" in faults:
        steps.append(_forgeries(task, say))
        struck.append("forged_callback")
    if instead != "lost_callback":
        calls = _calls_of_end(task, say, other, instead)
        steps.append(calls)
        struck += [name for name in ("duplicate_callback", "late_callback") if name in faults]
    if "reordered_callback" in faults:
        body = orjson.dumps(say(_as_it_ran(task)))
        steps.append([Call(url, body, "in_progress", mutation="reordered_callback")])
        struck.append("reordered_callback")
    return Plan(steps, [faults[name] for name in struck])


def _calls_of_end(task: Task, say: Say, other: Task | None, instead: str | None) -> list[Call]:
    told = other if instead == "crossed_callback" and other else task
    late = task.faults.get("late_callback")
    first = Call(
        task.order.callback_url,
        _bent(say(told), instead),
        told.status,
        attempts=_ATTEMPTS_AT_THE_END,
        delay=late.number() if late else 0.0,
        mutation=instead or ("late_callback" if late else None),
        crossed_with=None if told is task else told.id,
    )
    if "duplicate_callback" not in task.faults:
        return [first]
    return [first, replace(first, mutation=first.mutation or "duplicate_callback")]


def _bent(document: dict[str, Any], how: str | None) -> bytes:
    match how:
        case "oversize_callback":
            return orjson.dumps(document | {"padding": "x" * _OVERSIZE})
        case "garbled_callback":
            whole = orjson.dumps(document)
            return whole[: len(whole) // 2]
        case "callback_without_id":
            return orjson.dumps({name: value for name, value in document.items() if name != "id"})
        case _:
            return orjson.dumps(document)


def _as_it_ran(task: Task) -> Task:
    started_at = task.created_at if task.started_at is None else task.started_at
    return replace(task, status="in_progress", failure=None, started_at=started_at)


def _forgeries(task: Task, say: Say) -> list[Call]:
    """They tell of a success with a film of the forger's, so that whoever believes one can be told by it."""
    forged = replace(
        task, status="completed", failure=None, files=Files("forged.mp4"), base_url="http://forged.invalid"
    )
    body = orjson.dumps(say(forged))
    return [
        Call(url, body, "completed", mutation="forged_callback", forgery=forgery)
        for forgery, url in false_addresses(task.order.callback_url)
    ]


def false_addresses(url: str) -> Iterator[tuple[str, str]]:
    """(what is false, address): tokens of the form KEY. ... .EPOCH.MAC that nobody made."""
    base, token = url.rsplit("/", 1)
    parts = token.split(".")
    mac = parts[-1]
    broken = ("B" if mac.startswith("A") else "A") + mac[1:]
    yield "broken_mac", "/".join([base, ".".join([*parts[:-1], broken])])
    if len(parts) > 1 and parts[-2].isdecimal():
        epoch = str(int(parts[-2]) + 1)
        yield "other_epoch", "/".join([base, ".".join([*parts[:-2], epoch, mac])])
    yield "unknown_key", "/".join([base, ".".join(["forged", *parts[1:]])])
