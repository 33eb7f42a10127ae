"""The plain model of money: what each job has reserved, charged and in suspense, by the documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from gateway.money import ledger
from gateway.money.amounts import to_micros
from tests import books
from tests.promises.properties.dump import Dump

#: What a task costs: of every answer that says it, and of every estimate.
COST: Final = "0.25"
PRICE: Final = to_micros(COST)
_FINAL: Final = ("completed", "failed", "canceled")


def check(look: Dump) -> None:
    """The ledger explains the balances, they are the sums of the records, and each record is possible."""
    records = [{**record, "id": name} for name, record in look.records("job").items()]
    stored = {key: value for key, value in look.keys.items() if ":balance:" in key}
    days = sorted(key for key in look.streams if ":ledger:" in key)
    entries = [ledger.load("0-0", fields) for day in days for fields in look.streams[day]]
    suspended = set(look.zset("suspense"))
    wrong = books.disagreements(records, books.figures(stored), entries, suspended, all_there=False)
    wrong += [fault for record in records for fault in _faults(record)]
    assert not wrong, "\n".join(wrong)


def _faults(record: Mapping[str, str]) -> list[str]:
    """One submission reserves one price; each task that was charged cost one; what is not known stays."""
    reserved, suspense, charged = (int(record.get(name, 0)) for name in ("reserved", "suspense", "charged"))
    shares = 1 + int(record.get("resubmits", 0)) if "estimate" in record else 0
    paid = json.loads(record.get("paid", "[]"))
    found = []
    if record.get("charge_basis") == "operator":
        return [] if (reserved, suspense) == (0, 0) else [f"{record['id']} is decided, and has more"]
    if len(set(paid)) != len(paid) or charged != PRICE * len(paid):
        found.append(f"{record['id']} is charged {charged} for {paid}")
    if record["state"] not in _FINAL:
        if (reserved, suspense, charged) != (PRICE * shares, 0, 0):
            found.append(f"{record['id']} is {record['state']}: {reserved}, {suspense}, {charged}")
        return found
    sent = "released_at" in record and record.get("epoch") != record.get("sent_again")
    most = max(0, shares - len(paid)) * PRICE
    # a submission that was sent and never named its task is in doubt; one that was not sent is not
    least = max(0, shares - len(paid) - (0 if sent else 1)) * PRICE
    if not least <= suspense <= most:
        found.append(f"{record['id']} has {suspense} in suspense, and {least} to {most} are possible")
    return found
