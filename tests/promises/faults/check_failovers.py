"""Were operators told of each failover, and of what it may have lost? And is the store whole again?"""

from __future__ import annotations

from collections.abc import Iterator

from tests.promises.faults.evidence import Evidence, Violation
from tests.promises.faults.ledgers import Fact

_KINDS = ("primary_changed", "told", "store_whole")
_ALARM = "acknowledged writes may be gone"
#: How long before a failover something may have been shown that no replica had: WAIT, and the answer's way.
_UNACKNOWLEDGED_SECONDS = 2.0


def check(found: Evidence) -> Iterator[Violation]:
    """I19."""
    durability = next(fact for fact in found.nemesis if fact["kind"] == "plan").get("durability")
    facts = [fact for fact in found.nemesis if fact["kind"] in _KINDS]
    for place, fact in enumerate(facts):
        if fact["kind"] == "primary_changed":
            yield from _change(fact, facts[place + 1 :], durability == "assume")
        elif fact["kind"] == "store_whole" and not fact["whole"]:
            yield Violation("vacuous", "the store was not whole again", [fact])


def _change(changed: Fact, later: list[Fact], may_lose: bool) -> Iterator[Violation]:
    if changed["after"] in (None, changed["before"]):
        yield Violation("vacuous", "no other server became the primary", [changed])
    elif changed["event"] == "move_slot":
        return  # a slot that moves as a whole takes everything with it
    elif not later or later[0]["kind"] != "told":
        yield Violation("I19", "operators were not told that another server became the primary", [changed])
    elif may_lose != any(_ALARM in text for text in later[0]["alarms"]):
        words = "no alarm says that writes may be gone" if may_lose else "an alarm says so, and none can be"
        yield Violation("I19", words, [changed, later[0]])


def may_be_taken_back(found: Evidence, seen: Fact) -> bool:
    """A look shows what is written, also before replicas acknowledged it: a failover may take that back.
    Until the store is whole, the old primary may still answer."""
    begun = None
    for fact in found.nemesis:
        if fact["kind"] == "fault" and fact["target"] == "primary":
            begun = fact["at"] - _UNACKNOWLEDGED_SECONDS
        elif fact["kind"] == "store_whole" and begun is not None and begun <= seen["at"] <= fact["at"]:
            return True
    return False
