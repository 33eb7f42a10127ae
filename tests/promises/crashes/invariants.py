"""What must be true after every run, whatever failed in it: each broken promise in a sentence."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import orjson

from gateway.events import EventType
from gateway.lifecycle import FINAL, JobEvent, JobState, OnUnknown
from gateway.money.amounts import to_micros
from tests import books
from tests.promises.crashes.upstream import COST, url_of
from tests.promises.crashes.world import Report

COST_MICROS = to_micros(COST)


def violations(report: Report) -> list[str]:
    found = [*_of_the_whole(report), *_of_the_ledger(report)]
    for job_id in report.jobs:
        found += [*_of_the_money(report, job_id), *_of_the_end(report, job_id)]
    return found


def _of_the_ledger(report: Report) -> Iterator[str]:
    """Records, balances, ledger and upstream say the same of the money, but for what is in suspense."""
    records = [{**job, "id": job_id} for job_id, job in report.jobs.items()]
    figures = books.figures(report.balances)
    yield from books.disagreements(records, figures, report.ledger, report.suspense)
    for job_id, job in report.jobs.items():
        taken = sum(COST_MICROS for charge in report.charges if charge.ref.job_id == job_id)
        charged, suspense = int(job.get("charged", 0)), int(job.get("suspense", 0))
        known = charged == taken and not suspense
        open_still = suspense and charged <= taken <= charged + suspense
        if not known and not open_still:
            yield f"{job_id} is charged {charged}, with {suspense} in suspense, and cost {taken}"


def explain(report: Report, found: list[str]) -> str:
    """For a failure's message: what is broken, what happened, and how to see it again."""
    charges = [f"{c.task_id} of epoch {c.ref.epoch} at {c.at:.1f} s" for c in report.charges]
    audit = [
        f"  {entry['at'][-7:]} ms: {entry['event']} {entry.get('from', '')} -> {entry.get('to', '')}"
        f" (epoch {entry.get('epoch', '')})"
        for entries in report.audit.values()
        for entry in entries
    ]
    return "\n".join(
        [*found, f"charges: {charges}", "audit:", *audit, f"left: {report.left}", f"replay: {report.replay}"]
    )


def outcomes(report: Report) -> list[str]:
    """What became of the jobs, in words to be counted."""
    found = []
    for job_id, job in report.jobs.items():
        error = orjson.loads(job["error"])["code"] if "error" in job else ""
        found.append(f"{job['state']}({error})" if error else job["state"])
        events = [entry["event"] for entry in report.audit[job_id]]
        found += ["requeued for free"] * events.count(JobEvent.CLAIM_LOST)
        found += ["resubmitted"] * events.count(JobEvent.RESUBMIT_CHOSEN)
        found += ["late result"] * ("late" in job)
        found += ["in suspense"] * ("suspense" in job)
    return found


def _of_the_whole(report: Report) -> Iterator[str]:
    if len(report.jobs) != report.scenario.jobs:
        yield f"{report.scenario.jobs} jobs were posted, and there are {len(report.jobs)}"
    for name, held in report.left.items():
        yield f"{name} should be empty and holds {held}"
    for entry in report.ours:
        yield f"the code met what it did not expect: {entry}"
    stand = Counter(f"job:{job['state']}" for job in report.jobs.values())
    stand += Counter(f"delivery:{delivery['state']}" for delivery in report.deliveries.values())
    counted = {name: int(n) for name, n in report.counts.items() if n != "0"}
    if counted != dict(stand):
        yield f"the counters say {counted}, the records {dict(stand)}"
    told: dict[str, set[bytes]] = defaultdict(set)
    for event_id, body in report.told:
        told[event_id].add(body)
    for event_id in report.events:
        if len(told[event_id]) != 1:
            yield f"{event_id} was told in {len(told[event_id])} forms"
    for name, delivery in report.deliveries.items():
        if delivery["state"] != "delivered":
            yield f"{name} is {delivery['state']}"


def _of_the_money(report: Report, job_id: str) -> Iterator[str]:
    charges = [charge for charge in report.charges if charge.ref.job_id == job_id]
    chosen = sum(entry["event"] == JobEvent.RESUBMIT_CHOSEN for entry in report.audit[job_id])
    if chosen and report.scenario.on_unknown is not OnUnknown.RESUBMIT:
        yield "it was sent again, which its owner did not choose"
    if len(charges) > 1 + chosen:
        yield f"it was paid for {len(charges)} times, with {chosen} resubmissions chosen"
    for before, charge in enumerate(charges):
        if not charge.released:
            yield f"{charge.task_id} was charged, and no release of its submission was recorded"
        if charge.unknowns < before:
            yield f"{charge.task_id} was charged after another, and no unknown outcome was recorded between"
    if len({charge.ref.epoch for charge in charges}) != len(charges):
        yield "one submission was charged twice"


def _of_the_end(report: Report, job_id: str) -> Iterator[str]:
    job = report.jobs[job_id]
    state = JobState(job["state"])
    if state not in FINAL:
        yield f"it is still {state} after {report.seconds:.0f} s"
        return
    ends = [
        entry for entry in report.audit[job_id] if entry.get("to") in FINAL and entry.get("from") not in FINAL
    ]
    if len(ends) != 1:
        yield f"it came to {len(ends)} ends"
    kinds = Counter(event["type"] for event in report.events.values() if event["job_id"] == job_id)
    late = kinds.pop(EventType.LATE_RESULT, 0)
    if kinds != {f"job.{state}": 1}:
        yield f"it is {state}, and its events are {dict(kinds)}"
    if late and (state is not JobState.FAILED or "late" not in job):
        yield "a late result was told that is none"
    tasks = {charge.task_id for charge in report.charges if charge.ref.job_id == job_id}
    results = {url_of(task) for task in tasks}
    if state is JobState.COMPLETED and _url(job["output"]) not in results:
        yield "its result is of no task that was paid for it"
    reachable = tasks & report.heard_of
    if reachable and not report.scenario.fails and state is not JobState.COMPLETED and not late:
        yield f"{sorted(reachable)} was paid for, made and called back, and its result is lost"


def _url(output: str) -> str:
    return str(orjson.loads(output)[0]["content"][0]["url"])
