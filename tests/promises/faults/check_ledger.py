"""I20: is every job charged what the upstream took for it, and do ledger, balances and records agree?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tests.promises.faults.evidence import Evidence, Violation

_MICRO = 1_000_000
#: What each kind of entry adds to a balance: its amount, or what it took.
_CHANGES = {
    "reserve": (("reserved", "amount", 1),),
    "return": (("reserved", "amount", -1),),
    "suspense": (("reserved", "amount", -1), ("suspense", "amount", 1)),
    "charge": (("charged", "amount", 1), ("reserved", "taken", -1)),
    "adjust": (("charged", "amount", 1), ("suspense", "taken", -1)),
}


def check(found: Evidence) -> Iterator[Violation]:
    for job in found.promised:
        shown = found.jobs.get(job, {}).get("public")
        if shown is not None:
            yield from _job(found, job, shown)
    if found.final["money"] is not None:
        yield from _books(found.final["money"])


def _job(found: Evidence, job: str, shown: dict[str, Any]) -> Iterator[Violation]:
    """To the last digit. What nobody knows is still reserved, and only then."""
    taken = sum(micros(fact["charged"]) for fact in found.charged(job))
    charged, reserved = micros(shown["cost"]["charged"] or "0"), micros(shown["cost"]["reserved"])
    if reserved == 0 and charged != taken:
        yield Violation("I20", f"{job} is charged {charged}, and cost {taken}", [shown, *found.charged(job)])
    elif not charged <= taken <= charged + reserved:
        text = f"{job} is charged {charged}, with {reserved} in suspense, and cost {taken}"
        yield Violation("I20", text, [shown, *found.charged(job)])


def _books(money: dict[str, Any]) -> Iterator[Violation]:
    computed: Counter[tuple[str, str]] = Counter()
    for entry in money["ledger"]:
        for whose in ("*", entry["key"]):
            for period in (entry["period"], entry["period"][:7], "total"):
                for name, part, sign in _CHANGES[entry["kind"]]:
                    balance = f"{{gw}}:tenant:{entry['tenant']}:balance:{period}"
                    computed[balance, f"{whose}|{name}"] += sign * int(entry[part])
    stored = {
        (balance, field): int(amount)
        for balance, fields in money["balances"].items()
        for field, amount in fields.items()
        if field.rpartition("|")[2] in ("reserved", "charged", "suspense")
    }
    wrong = {name for name in computed | stored if computed[name] != stored.get(name, 0)}
    for balance, field in sorted(wrong):
        amount, by_ledger = stored.get((balance, field), 0), computed[balance, field]
        yield Violation("I20", f"{field} of {balance} is {amount}, and by the ledger {by_ledger}")
    for (balance, field), amount in stored.items():
        if amount < 0 or (field.endswith("|reserved") and amount):
            yield Violation("I20", f"{field} of {balance} is {amount} at the end")
    if sorted(money["suspense"]) != sorted(money["suspended"]):
        yield Violation("I20", "the list of suspense is not that of the records", [money["suspense"]])


def micros(amount: str) -> int:
    return int(Decimal(amount) * _MICRO)
