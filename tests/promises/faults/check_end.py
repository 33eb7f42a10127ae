"""Is everything back to where it began, did nothing come of forgeries, and did no process end by itself?"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

from tests.promises.faults.evidence import FINAL, Evidence, Violation

FORGED_TASK = "d758n65e878c73cmdg20"


def check(found: Evidence) -> Iterator[Violation]:
    yield from _zeros(found)
    yield from _forgeries(found)
    yield from _processes(found)
    for entry in found.final["events"]["data"]:
        if entry["kind"] == "rollback_seen":
            yield Violation("I17", "operators were told of a rollback, and nothing was lost", [entry])
    for where in found.final["leaks"]:
        yield Violation("I15", f"a secret is in {where}", [where])


def _zeros(found: Evidence) -> Iterator[Violation]:
    """I16: nothing is held, waiting or counted that belongs to no job."""
    state = found.final["state"]
    if not state or "counts" not in state:
        yield Violation("I16", "the gateway does not tell its state", [state])
        return
    for name, number in leftovers(state):
        if number:
            yield Violation("I16", f"{name} is {number} at the end", [state])
    for status in FINAL:
        counted = state["counts"].get(f"job:{status}", 0)
        there = sum(
            job["public"] is not None and job["public"]["status"] == status for job in found.jobs.values()
        )
        if counted != there:
            yield Violation("I16", f"{counted} jobs are counted as {status}, and {there} are", [state])


def leftovers(state: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """All that must be zero."""
    for name, number in state["counts"].items():
        if name.split(":")[1] not in (*FINAL, "delivered", "dead"):
            yield name, number
    for role, numbers in state["roles"].items():
        for name, number in numbers.items():
            yield f"{role}.{name}", number
    yield "unknown", state["unknown"]
    yield "deadlines", state["deadlines"]
    yield "account paused", int(state["account"]["paused"])


def _forgeries(found: Evidence) -> Iterator[Violation]:
    """I10: refused alike, and the task that they named is nobody's."""
    for fact in found.nemesis:
        if fact["kind"] == "forged" and fact["status"] not in (None, 404):
            yield Violation("I10", f"a forged callback got {fact['status']}", [fact])
    for job, shown in found.jobs.items():
        if shown["ops"] and shown["ops"]["job"]["task_id"] == FORGED_TASK:
            yield Violation("I10", f"{job} took a forged task", [shown["ops"]["job"]])


def _processes(found: Evidence) -> Iterator[Violation]:
    """No process ends unless it was killed or asked to, and who is asked ends well."""
    for fact in found.nemesis:
        if fact["kind"] == "died":
            yield Violation("I12", f"{fact['target']} ended by itself with {fact['code']}", [fact])
        elif fact["kind"] == "did_not_stop":
            yield Violation("I18", f"{fact['target']} did not end when asked to", [fact], "stuck")
        elif fact["kind"] == "stopped" and fact["code"] not in _good_ends(fact["target"]):
            yield Violation(
                "I12", f"{fact['target']} was asked to end, and ended with {fact['code']}", [fact]
            )


def _good_ends(target: str) -> tuple[int, ...]:
    """A web server finishes its work and then ends by the very signal that asked it to."""
    return (0, -signal.SIGTERM) if target.startswith("gateway") else (0,)
