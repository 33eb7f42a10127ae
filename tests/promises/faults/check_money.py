"""Was anything paid for twice, paid for without a record, lost after it was paid for, or mixed up?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tests.promises.faults import crossed
from tests.promises.faults.evidence import Evidence, Violation
from tests.promises.faults.ledgers import Fact

GRACE_SECONDS = 6.0
RESUBMIT_MAX = 1
#: Redis' clock has milliseconds, and the ledger is written a moment after the fact.
_SLACK_SECONDS = 0.05
#: What the gateway says of a job that it gave up without knowing what became of its task.
GIVEN_UP = ("submission_unknown", "upstream_timeout")


def check(found: Evidence) -> Iterator[Violation]:
    for job in sorted(set(found.paid_requests) | set(found.jobs)):
        if job in found.promised:
            yield from _charges(found, job)
            yield from _gates(found, job)
            yield from _result(found, job)
            yield from _paid_results(found, job)
        elif found.charged(job):
            yield Violation("I3", f"{job} was paid for, and nobody ordered it", found.charged(job))


def _charges(found: Evidence, job: str) -> Iterator[Violation]:
    """I3, I4: a second charge needs a recorded decision after a recorded unknown; `hold` never decides so."""
    charged, order = found.charged(job), found.order_of(job)
    history = found.history(job)
    chosen = [fact for fact in history if fact["event"] == "resubmit_chosen"]
    if order["policy"] == "hold" and chosen:
        yield Violation("I3", f"{job} holds, and was sent again", chosen, "paid_twice")
    for before, after in pairwise(charged):
        between = [fact for fact in chosen if before["epoch"] <= fact["epoch"] < after["epoch"]]
        if not between:
            yield Violation("I4" if chosen else "I3", f"{job} was paid for twice", charged, "paid_twice")
    by_itself = [fact for fact in chosen if not fact.get("by")]
    if len(by_itself) > RESUBMIT_MAX:
        yield Violation("I4", f"{job} was sent again {len(by_itself)} times", by_itself, "paid_twice")
    for fact in by_itself:
        if not _waited(history, fact):
            yield Violation("I4", f"{job} was sent again without a grace window", history)
    shown = found.jobs[job]["public"]
    if charged and shown and shown["spend"] == "none":
        yield Violation("I13", f"{job} was paid for, and says it was not", [*charged, shown])


def _waited(history: list[Fact], chosen: Fact) -> bool:
    """The job had been unknown for the whole window when it was decided to send it again."""
    entered = [
        fact["at"]
        for fact in history
        if fact.get("to") == "unknown" and fact.get("from") != "unknown" and fact["at"] <= chosen["at"]
    ]
    return bool(entered) and chosen["at"] - entered[-1] >= GRACE_SECONDS - _SLACK_SECONDS


def _gates(found: Evidence, job: str) -> Iterator[Violation]:
    """I5, I6: whatever arrived whole was released before, durably, by the newest submission of then, once."""
    history, sent = found.history(job), found.paid_requests.get(job, [])
    for fact in sent:
        gates = [
            at for at, e in enumerate(history) if e["event"] == "released" and e["epoch"] == fact["epoch"]
        ]
        if not gates or history[gates[0]]["at"] > fact["at"] + _SLACK_SECONDS:
            yield Violation("I5", f"{job} was sent before it was released", [fact, *history])
            continue
        newer = [e for e in history[: gates[0]] if e["event"] == "claimed" and e["epoch"] > fact["epoch"]]
        if newer:
            yield Violation("I6", f"{job} was released by an old submission", [fact, *newer])
    epochs = [fact["epoch"] for fact in sent]
    if len(epochs) != len(set(epochs)):
        yield Violation("I6", f"one submission of {job} was sent twice", sent, "paid_twice")


def _as_made(shown: dict[str, Any] | None) -> Any:
    """The output of a job without what the gateway adds."""
    return shown and [
        {
            **group,
            "content": [
                {name: value for name, value in one.items() if name != "stable_url"}
                for one in group["content"]
            ],
        }
        for group in shown["output"] or ()
    ]


def _result(found: Evidence, job: str) -> Iterator[Violation]:
    """I7: what the client gets is what was made for it, unless every word that was heard was a lie."""
    shown, ops = found.jobs[job]["public"], found.jobs[job]["ops"]
    own, output = found.tasks.get(job, []), _as_made(shown)
    task_id = ops["job"]["task_id"] if ops else None
    if shown and shown["status"] == "completed":
        given = [task for task in found.final["tasks"] if task.get("output") == output]
        if any(crossed.is_misled(found, job, task) for task in given if task not in own):
            return
    if shown and shown["status"] == "completed" and output not in [t.get("output") for t in own]:
        yield Violation("I7", f"the result of {job} is not that of its task", [shown, *own])
    if task_id and task_id not in [task["id"] for task in own]:
        yield Violation("I7", f"{job} names the task {task_id}, which is not its own", own)


def _paid_results(found: Evidence, job: str) -> Iterator[Violation]:
    """I8: a task that was finished is not forgotten, unless nothing was ever heard of it, or two jobs'
    callbacks reported it."""
    shown = found.jobs[job]["public"]
    if shown is None or shown["status"] == "completed" or shown["late_result"]:
        return
    for task in found.tasks.get(job, []):
        if task["status"] != "completed" or not _content(task):
            continue
        heard = [fact for fact in crossed.honest(found, task["id"]) if not fact.get("mutation")]
        sent_again = any(fact["event"] == "resubmit_chosen" for fact in found.history(job))
        code = str((shown["error"] or {}).get("code"))
        undecided = not heard or crossed.is_contested(found, job, task["id"])
        is_unheard = shown["status"] == "failed" and code in GIVEN_UP and undecided
        if not is_unheard and not sent_again:
            yield Violation(
                "I8", f"{job} was paid for, and its result is lost", [shown, task, *heard], "lost"
            )


def _content(task: Fact) -> bool:
    return any(group["content"] for group in task.get("output") or [])
