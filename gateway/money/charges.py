"""What a job has cost once its tasks are charged, as scripts/lib/money.lua computes it: for the bytes of its
event, which are made before."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple


class Charged(NamedTuple):
    """`amount`: in micro-units; None: nothing yet. `basis`: how it is known."""

    amount: int | None
    basis: str | None


def charged_after(
    before: Charged, paid: Collection[str], estimate: int | None, costs: Mapping[str, int | None]
) -> Charged:
    """`paid`: the tasks that are charged already. `costs`: what each task cost; None: the estimate."""
    amount, basis = before
    for task, said in costs.items():
        cost = estimate if said is None else said
        if basis != "operator" and cost is not None and task not in paid:
            amount = (amount or 0) + cost
            basis = "estimate" if said is None or basis == "estimate" else "upstream"
    return Charged(amount, basis)
