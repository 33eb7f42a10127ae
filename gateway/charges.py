"""What a job has cost once its tasks are charged, as scripts/lib/money.lua computes it: for the bytes of its
events, which are made before. `costs`: what each task cost, None for the estimate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.jobs import Job
from gateway.money.shares import suspense_at_end

Costs = Mapping[str, int | None]


def at_end(job: Job, costs: Costs) -> dict[str, Any]:
    """The fields of a job that becomes final when these tasks are charged."""
    doubtful = len(set(job.tasks) - set(costs)) if job.tasks else int(job.evidence is not None)
    sent = job.released_at is not None and job.epoch != job.sent_again
    charged = len(_amounts(job, costs))
    left = suspense_at_end(job.reserved, job.estimate or 0, charged=charged, doubtful=doubtful, sent=sent)
    return {"reserved": 0, "suspense": left, **_charged(job, costs)}


def after_end(job: Job, costs: Costs) -> dict[str, Any]:
    """The fields of a final job of which only now it is known what these tasks cost."""
    left = max(0, job.suspense - len(_amounts(job, costs)) * (job.estimate or 0))
    return {"suspense": left, **_charged(job, costs)}


def _amounts(job: Job, costs: Costs) -> list[int]:
    """Of the tasks that are charged now. After an operator has decided, nothing more is charged."""
    if job.charge_basis == "operator":
        return []
    found = [job.estimate if said is None else said for task, said in costs.items() if task not in job.paid]
    return [amount for amount in found if amount is not None]


def _charged(job: Job, costs: Costs) -> dict[str, Any]:
    amounts = _amounts(job, costs)
    if not amounts:
        return {}
    guessed = job.charge_basis == "estimate" or None in costs.values()
    return {
        "charged": (job.charged or 0) + sum(amounts),
        "charge_basis": "estimate" if guessed else "upstream",
    }
