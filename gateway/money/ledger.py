"""The ledger: every change of what is reserved, charged or in suspense, as entries that never change.

Balances are derived from it: `recompute` says what they must be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

#: Stands for the whole tenant, beside the ids of its keys.
WHOLE: Final = "*"
#: In `why`: the job did not complete.
WASTED: Final = "wasted"


class Kind(StrEnum):
    RESERVE = "reserve"  #: for a submission that may be charged
    CHARGE = "charge"  #: `taken` of what was reserved is no longer needed
    RETURN = "return"  #: reserved for a submission that certainly was not charged
    SUSPENSE = "suspense"  #: the job is finished, and nobody knows whether this was charged
    ADJUST = "adjust"  #: a charge that decides about `taken` of what was in suspense


@dataclass(frozen=True, slots=True)
class Entry:
    """`amount`, `taken`: in micro-units. `at`: ms. `key`: of the client, "" if that is not known. `period`:
    the day on which the job was accepted. `priced`: since when the price of its estimate is valid."""

    kind: Kind
    at: int
    job: str
    tenant: str
    key: str
    amount: int
    period: str
    priced: str
    why: str
    taken: int = 0


def load(entry_id: str, fields: Mapping[str, Any]) -> Entry:
    """From an entry of the stream of a day."""
    return Entry(
        kind=Kind(fields["kind"]),
        at=int(entry_id.partition("-")[0]),
        job=fields["job"],
        tenant=fields["tenant"],
        key=fields["key"],
        amount=int(fields["amount"]),
        period=fields["period"],
        priced=fields["priced"],
        why=fields["why"],
        taken=int(fields["taken"]),
    )


class Balance(NamedTuple):
    """One figure. `whose`: WHOLE or a key. `period`: its name, such as 2026-12. `name`: reserved, charged,
    suspense or wasted."""

    tenant: str
    whose: str
    period: str
    name: str


#: {balance: micro-units}
Sums = Counter[Balance]


def recompute(entries: Iterable[Entry]) -> Sums:
    """What the balances of days must be."""
    found: Sums = Counter()
    for entry in entries:
        for name, amount in _changes(entry).items():
            for whose in (WHOLE, entry.key):
                if whose and amount:
                    found[Balance(entry.tenant, whose, entry.period, name)] += amount
    return found


def _changes(entry: Entry) -> dict[str, int]:
    wasted = entry.amount if entry.why.endswith(WASTED) else 0
    match entry.kind:
        case Kind.RESERVE:
            return {"reserved": entry.amount}
        case Kind.RETURN:
            return {"reserved": -entry.amount}
        case Kind.SUSPENSE:
            return {"reserved": -entry.amount, "suspense": entry.amount}
        case Kind.CHARGE:
            return {"charged": entry.amount, "reserved": -entry.taken, "wasted": wasted}
        case Kind.ADJUST:
            return {"charged": entry.amount, "suspense": -entry.taken, "wasted": wasted}
