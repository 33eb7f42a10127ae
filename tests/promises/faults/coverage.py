"""A run in which nothing bad happened proves nothing: what must have happened at least once, by its size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.promises.faults.evidence import Evidence, Violation

#: In every run, and in a run of scale 1 or more.
ALWAYS = ("fault kill_worker", "fault kill_gateway", "fault partition", "crash point", "a job completed")
AT_FULL_SCALE = (
    *("fault kill_valkey", "fault power_loss", "fault freeze", "fault restart", "fault forge"),
    *("event claim_lost", "event outcome_lost", "event upstream_busy", "event upstream_rejected"),
    *("event resubmit_chosen", "event callback_seen", "event upstream_failed", "event cancel_requested"),
    *("zombie beyond its lease", "a late result", "given up unknown", "callback lost", "callback forged"),
    *("callback doubled", "callback before the answer", "callback refused for now", "webhook repeated"),
    *("webhook dead", "202 lost and replayed", "intake refused for now", "no answer from a gateway"),
)
LEAST_CRASH_POINTS = 10
_FULL_SCALE = 0.9
_LEASE_SECONDS = 2.0


def check(found: Evidence) -> Iterator[Violation]:
    plan = next(fact for fact in found.nemesis if fact["kind"] == "plan")
    happened = marks(found)
    struck = sum(fact["kind"] == "fault" for fact in found.nemesis)
    if struck != plan["faults"]:
        yield Violation("vacuous", f"{struck} of {plan['faults']} planned faults were carried out")
    wanted = ALWAYS + (AT_FULL_SCALE if plan["scale"] >= _FULL_SCALE else ())
    for mark in wanted:
        if not happened[mark] and (plan["power"] or mark != "fault power_loss"):
            yield Violation("vacuous", f"this never happened: {mark}", [dict(happened)])
    points = {fact["point"] for fact in found.nemesis if fact["kind"] == "crashed"}
    if plan["scale"] >= _FULL_SCALE and len(points) < LEAST_CRASH_POINTS:
        yield Violation("vacuous", f"only {len(points)} crash points were reached", [sorted(points)])


def marks(found: Evidence) -> Counter[str]:
    """How often each thing happened."""
    happened: Counter[str] = Counter()
    for fact in found.nemesis:
        happened[f"fault {fact.get('fault')}"] += fact["kind"] == "fault"
        happened["crash point"] += fact["kind"] == "crashed"
        is_long = fact.get("fault") == "freeze" and fact["seconds"] > _LEASE_SECONDS
        happened["zombie beyond its lease"] += is_long
    for job in found.jobs:
        for event in found.history(job):
            happened[f"event {event['event']}"] += 1
        shown = found.jobs[job]["public"] or {}
        happened["a late result"] += bool(shown.get("late_result"))
        happened["a job completed"] += shown.get("status") == "completed"
        happened["given up unknown"] += (shown.get("error") or {}).get("code") == "submission_unknown"
        happened["webhook dead"] += any(entry["state"] == "dead" for entry in found.jobs[job]["deliveries"])
    happened.update(_at_the_upstream(found))
    happened.update(_at_the_client(found))
    told = Counter((fact["path"], fact["id"]) for fact in found.subscriber)
    happened["webhook repeated"] = sum(number > 1 for number in told.values())
    return happened


def _at_the_upstream(found: Evidence) -> Counter[str]:
    happened: Counter[str] = Counter()
    for fact in found.sandbox:
        if fact["kind"] == "fault":
            happened["callback lost"] += fact["fault"] == "lost_callback"
            happened["callback doubled"] += fact["fault"] == "duplicate_callback"
            happened["callback before the answer"] += fact["fault"] == "early_callback"
        elif fact["kind"] == "callback":
            happened["callback forged"] += bool(fact.get("forgery"))
            happened["callback refused for now"] += fact["reply"] == 503
    return happened


def _at_the_client(found: Evidence) -> Counter[str]:
    happened: Counter[str] = Counter()
    for posts in found.posts.values():
        answers = [post for post in posts if post["job"]]
        happened["202 lost and replayed"] += bool(answers) and answers[0]["replayed"]
        happened["intake refused for now"] += any(post["status"] == 503 for post in posts)
        happened["no answer from a gateway"] += any(post["status"] is None for post in posts)
    return happened
