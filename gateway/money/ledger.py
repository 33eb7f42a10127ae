"""The ledger: every change of what a tenant has reserved, spent or in suspense, as entries that only grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """`amount`: in micro-units. `period`: the day on which its job was accepted. `taken`: what a charge
    took of the reservation."""

    kind: str
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
    return Entry(
        kind=fields["kind"],
        at=int(entry_id.partition("-")[0]),
        job=fields["job"],
        tenant=fields["tenant"],
        key=fields["key"],
        amount=int(fields["amount"]),
        period=fields["period"],
        priced=fields.get("priced", ""),
        why=fields.get("why", ""),
        taken=int(fields.get("taken", 0)),
    )


#: (tenant, key or "*", period, field)
Sums = Counter[tuple[str, str, str, str]]


def recompute(entries: Iterable[Entry]) -> Sums:
    found: Sums = Counter()
    for one in entries:
        for who in ("*", one.key):

            def add(field: str, amount: int, one: Entry = one, who: str = who) -> None:
                found[one.tenant, who, one.period, field] += amount

            match one.kind:
                case "reserve":
                    add("reserved", one.amount)
                case "return":
                    add("reserved", -one.amount)
                case "suspense":
                    add("reserved", -one.amount)
                    add("suspense", one.amount)
                case "charge":
                    add("charged", one.amount)
                    add("reserved", -one.taken)
                case _:
                    add("charged", one.amount)
                    add("suspense", -one.taken)
    return found
