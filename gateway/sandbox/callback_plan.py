"""Plans the callbacks of a task: their bodies and their order, with all faults applied. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from gateway.sandbox.faults import Fault
from gateway.sandbox.tasks import Files, Task

_FINAL_ATTEMPTS = 4
_OVERSIZE = 300_000
#: Faults that replace the final callback. If there are several, the first one applies.
_REPLACING = (
    "lost_callback",
    "crossed_callback",
    "oversize_callback",
    "garbled_callback",
    "callback_without_id",
)
MakeBody = Callable[[Task], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class PlannedCallback:
    """`status`: the task's status in the body. `mutation`: the fault that changed the callback. `forgery`:
    what is wrong with its token; such a callback is signed with a wrong key too. `crossed_with`: the other
    task, whose body was sent."""

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
    """`steps`: sent one after the other; the callbacks of one step are sent in parallel. `applied`: the
    faults that the plan contains."""

    steps: list[list[PlannedCallback]]
    applied: list[Fault]


def plan_callbacks(task: Task, make_body: MakeBody, other: Task | None) -> Plan:
    """The callbacks for the current state of the task. `other`: the newest of the other tasks."""
    if not task.has_ended:
        if "reordered_callback" in task.faults:
            return Plan([], [])
        return Plan(
            [[PlannedCallback(task.spec.callback_url, orjson.dumps(make_body(task)), task.status)]], []
        )
    return _plan_final(task, make_body, other)


def _plan_final(task: Task, make_body: MakeBody, other: Task | None) -> Plan:
    url, faults = task.spec.callback_url, task.faults
    instead = next((name for name in _REPLACING if name in faults), None)
    if instead == "crossed_callback" and other is None:
        instead = None
    steps: list[list[PlannedCallback]] = []
    applied = [instead] if instead else []
    if "forged_callback" in faults:
        steps.append(_forgeries(task, make_body))
        applied.append("forged_callback")
    if instead != "lost_callback":
        calls = _final_calls(task, make_body, other, instead)
        steps.append(calls)
        applied += [name for name in ("duplicate_callback", "late_callback") if name in faults]
    if "reordered_callback" in faults:
        body = orjson.dumps(make_body(_while_running(task)))
        steps.append([PlannedCallback(url, body, "in_progress", mutation="reordered_callback")])
        applied.append("reordered_callback")
    return Plan(steps, [faults[name] for name in applied])


def _final_calls(
    task: Task, make_body: MakeBody, other: Task | None, instead: str | None
) -> list[PlannedCallback]:
    shown = other if instead == "crossed_callback" and other else task
    late = task.faults.get("late_callback")
    first = PlannedCallback(
        task.spec.callback_url,
        _mutated(make_body(shown), instead),
        shown.status,
        attempts=_FINAL_ATTEMPTS,
        delay=late.number() if late else 0.0,
        mutation=instead or ("late_callback" if late else None),
        crossed_with=None if shown is task else shown.id,
    )
    if "duplicate_callback" not in task.faults:
        return [first]
    return [first, replace(first, mutation=first.mutation or "duplicate_callback")]


def _mutated(document: dict[str, Any], how: str | None) -> bytes:
    match how:
        case "oversize_callback":
            return orjson.dumps(document | {"padding": "x" * _OVERSIZE})
        case "garbled_callback":
            complete = orjson.dumps(document)
            return complete[: len(complete) // 2]
        case "callback_without_id":
            return orjson.dumps({name: value for name, value in document.items() if name != "id"})
        case _:
            return orjson.dumps(document)


def _while_running(task: Task) -> Task:
    started_at = task.created_at if task.started_at is None else task.started_at
    return replace(task, status="in_progress", failure=None, started_at=started_at)


def _forgeries(task: Task, make_body: MakeBody) -> list[PlannedCallback]:
    """Forged callbacks. They report a success with the forger's own film, so a test can see if one was
    believed."""
    forged = replace(
        task, status="completed", failure=None, files=Files("forged.mp4"), base_url="http://forged.invalid"
    )
    body = orjson.dumps(make_body(forged))
    return [
        PlannedCallback(url, body, "completed", mutation="forged_callback", forgery=forgery)
        for forgery, url in forged_urls(task.spec.callback_url)
    ]


def forged_urls(url: str) -> Iterator[tuple[str, str]]:
    """(what is wrong, URL) for invalid tokens of the form KEY. ... .EPOCH.MAC."""
    base, token = url.rsplit("/", 1)
    parts = token.split(".")
    mac = parts[-1]
    broken = ("B" if mac.startswith("A") else "A") + mac[1:]
    yield "broken_mac", "/".join([base, ".".join([*parts[:-1], broken])])
    if len(parts) > 1 and parts[-2].isdecimal():
        epoch = str(int(parts[-2]) + 1)
        yield "other_epoch", "/".join([base, ".".join([*parts[:-2], epoch, mac])])
    yield "unknown_key", "/".join([base, ".".join(["forged", *parts[1:]])])
