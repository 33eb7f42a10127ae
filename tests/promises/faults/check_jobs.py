"""Is every job there, once, in one final state that stays, and was every answer one that may be given?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tests.promises.faults.evidence import FINAL, Evidence, Violation

_RANK = {"queued": 0, "in_progress": 1, **dict.fromkeys(FINAL, 2)}
_VERDICT = ("status", "output", "error", "finished_at")


def check(found: Evidence) -> Iterator[Violation]:
    yield from _promises(found)
    yield from _keys(found)
    yield from _finality(found)
    yield from _histories(found)
    yield from _answers(found)


def _promises(found: Evidence) -> Iterator[Violation]:
    """I1, I18."""
    for key, order in found.orders.items():
        posts = found.posts.get(key, [])
        if not any(post["status"] in (200, 202, 422) for post in posts):
            yield Violation("I1", f"{key} never got an answer", [order, *posts[-3:]], "lost")
    for job, key in found.promised.items():
        shown = found.jobs.get(job, {}).get("public")
        if shown is None:
            yield Violation("I1", f"{job} was accepted and is gone", found.posts[key], "lost")
        elif shown["status"] not in FINAL:
            history = [shown, *found.history(job)[-6:]]
            yield Violation("I18", f"{job} is {shown['phase']} long after the faults", history, "stuck")


def _keys(found: Evidence) -> Iterator[Violation]:
    """I11: one key, one job; another body is refused."""
    for key, posts in found.posts.items():
        jobs = {post["job"] for post in posts if post["job"]}
        if len(jobs) > 1:
            yield Violation("I11", f"{key} made {len(jobs)} jobs", posts)
        body = posts[0]["sha256"]
        for post in posts:
            if (post["sha256"] != body and post["job"]) or (post["sha256"] == body and post["status"] == 422):
                yield Violation(
                    "I11", f"{key} with {'its own' if post['job'] is None else 'another'} body", [post]
                )
    for job in found.final["listed"]:
        if job not in found.promised:
            yield Violation("I11", f"{job} belongs to no key", [found.jobs[job]["public"]])


def _finality(found: Evidence) -> Iterator[Violation]:
    """I2, from outside: the status never falls, and the first final outcome is the last."""
    for job, reads in found.seen.items():
        shown = found.jobs.get(job, {}).get("public")
        views = [*reads, *([shown] if shown else [])]
        for before, after in pairwise(views):
            if _RANK[before["status"]] > _RANK[after["status"]]:
                yield Violation("I2", f"the status of {job} went backwards", [before, after])
            elif before["status"] in FINAL and any(before[name] != after[name] for name in _VERDICT):
                yield Violation("I2", f"the final {job} changed", [before, after])


def _histories(found: Evidence) -> Iterator[Violation]:
    """I2, from inside: one way into a final state and none out; I17: nothing was rolled back."""
    for job in found.jobs:
        history = found.history(job)
        if not history:
            yield Violation("I2", f"{job} has no history", [])
        ends = [fact for fact in history if fact.get("to") in FINAL and fact.get("from") not in FINAL]
        leaves = [fact for fact in history if fact.get("from") in FINAL and fact.get("to") not in FINAL]
        if len(ends) > 1 or leaves:
            yield Violation("I2", f"{job} ended {len(ends)} times", [*ends, *leaves])
        rolled = [fact for fact in history if fact["event"] in ("rollback_seen", "rebuilt")]
        if rolled:
            yield Violation(
                "I17", f"{job} saw a rollback, and nothing that was acknowledged was lost", rolled
            )


def _answers(found: Evidence) -> Iterator[Violation]:
    """I12: no 5xx but 503, anywhere."""
    for fact in found.client:
        status = fact.get("status")
        if isinstance(status, int) and status >= 500 and status != 503:
            yield Violation("I12", f"a client got {status}", [fact])
    for fact in found.sandbox:
        if fact["kind"] == "callback" and not _is_allowed(fact):
            yield Violation("I12", f"a callback got {fact['reply']}", [fact])


def _is_allowed(callback: dict[str, object]) -> bool:
    if callback["reply"] is None or callback["reply"] == 503:
        return True
    if callback.get("forgery"):
        return callback["reply"] == 404
    return callback["reply"] == (413 if callback.get("mutation") == "oversize_callback" else 200)
