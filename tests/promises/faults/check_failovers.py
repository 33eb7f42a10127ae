"""Were operators told each time that another server became the primary, and did the store recover?"""

from __future__ import annotations

from collections.abc import Iterator

from tests.promises.faults.evidence import Evidence, Violation
from tests.promises.faults.ledgers import Fact

_KINDS = ("primary_changed", "alarm", "store_whole")
#: How long before a failover something may have been shown that no replica had: WAIT, and the answer's way.
_UNACKNOWLEDGED_SECONDS = 2.0


def check(found: Evidence) -> Iterator[Violation]:
    """I19."""
    facts = [fact for fact in found.nemesis if fact["kind"] in _KINDS]
    for place, fact in enumerate(facts):
        if fact["kind"] == "primary_changed":
            yield from _change(fact, facts[place + 1 :])
        elif fact["kind"] == "store_whole" and not fact["whole"]:
            yield Violation("vacuous", "the store was not whole again", [fact])
    changes = [fact for fact in facts if fact["kind"] == "primary_changed" and _is_failover(fact)]
    events = [fact for fact in found.final["events"]["data"] if fact["kind"] == "store_failed_over"]
    if len(events) < len(changes):
        yield Violation("I19", f"{len(changes)} failovers left {len(events)} ops events", [*changes, *events])


def _change(changed: Fact, later: list[Fact]) -> Iterator[Violation]:
    if changed["after"] in (None, changed["before"]):
        yield Violation("vacuous", "no other server became the primary", [changed])
    elif _is_failover(changed) and (not later or later[0]["kind"] != "alarm"):
        yield Violation("I19", "operators were not told that another server became the primary", [changed])


def _is_failover(changed: Fact) -> bool:
    """A slot that moves as a whole takes everything with it."""
    return bool(changed["event"] != "move_slot")


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
