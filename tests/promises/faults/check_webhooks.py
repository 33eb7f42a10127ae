"""Was every subscriber notified of every end, under one id, in the same signed bytes, or is it known dead?"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from tests.promises.faults.evidence import FINAL, Evidence, Violation

ENDPOINTS = ("good-endpoint", "moody-endpoint")


def check(found: Evidence) -> Iterator[Violation]:
    """I9."""
    for job in found.promised:
        shown = found.jobs.get(job, {}).get("public")
        if shown and shown["status"] in FINAL:
            kinds = [f"job.{shown['status']}"] + ["job.late_result"] * bool(shown["late_result"])
            yield from _identity(found, job, kinds)
            for kind in kinds:
                yield from _delivered(found, job, kind)


def _identity(found: Evidence, job: str, kinds: list[str]) -> Iterator[Violation]:
    """One id and the same bytes for each type, signed, about an end that happened."""
    told = found.webhooks.get(job, [])
    for fact in told:
        if not fact["signed"]:
            yield Violation("I9", f"a webhook of {job} is not signed", [fact])
        if fact["told"]["type"] not in kinds:
            yield Violation("I9", f"{job} is said to be {fact['told']['type']}", [fact])
    for kind in kinds:
        of_kind = [fact for fact in told if fact["told"]["type"] == kind]
        if len({fact["id"] for fact in of_kind}) > 1 or len({fact["sha256"] for fact in of_kind}) > 1:
            yield Violation("I9", f"{kind} of {job} was told in several ways", of_kind)
    status = kinds[0].removeprefix("job.")
    wrong = [fact for fact in told if fact["told"]["data"]["status"] != status]
    if wrong:
        yield Violation("I9", f"{job} is {status}, and a webhook says otherwise", wrong)


def _delivered(found: Evidence, job: str, kind: str) -> Iterator[Violation]:
    order = found.order_of(job)
    owed = {f"/{order['tenant']}/{name}" for name in ENDPOINTS} | (
        {order["path"]} if order["path"] else set()
    )
    deliveries = [entry for entry in found.jobs[job]["deliveries"] if entry["event"]["type"] == kind]
    if len(deliveries) != len(owed):
        yield Violation(
            "I9", f"{kind} of {job} is owed to {len(deliveries)}, not {len(owed)}", deliveries, "lost"
        )
    pending = [entry for entry in deliveries if entry["state"] == "pending"]
    if pending:
        yield Violation("I18", f"{kind} of {job} is still owed", pending, "stuck")
    told = [fact for fact in found.webhooks.get(job, []) if fact["told"]["type"] == kind]
    dead = {urlsplit(entry["url"]).path for entry in deliveries if entry["state"] == "dead" and entry["url"]}
    for path in owed:
        taken = [fact for fact in told if fact["path"] == path and fact["answer"] == "204"]
        if path.endswith("/gone"):
            if path not in dead:
                yield Violation("I9", f"{kind} of {job} to {path} is not dead", deliveries)
        elif not taken:
            yield Violation("I9", f"{kind} of {job} never got to {path}", [*deliveries, *told], "lost")
