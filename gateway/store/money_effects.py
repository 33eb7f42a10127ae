"""The effects of a transition on money: scripts/lib/money.lua and budgets.lua."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gateway.lifecycle import JobState
from gateway.store.effect_base import Effect, Subject, given


@dataclass(frozen=True, slots=True)
class Charge(Effect):
    """The upstream charged these tasks: {task: what it said, in micro-units; None: the estimate}. Applied
    when the job becomes final, or is final already; each task is charged once. `epoch`: of their submission,
    if it is known. `unless_watched`: not while the tasks of the finished job are still polled."""

    name: ClassVar = "charge"
    costs: Mapping[str, int | None]
    epoch: int | None = None
    unless_watched: bool = False

    def document(self, of: Subject) -> dict[str, Any]:
        return {
            "costs": [
                given(task=task, amount=amount, epoch=self.epoch) for task, amount in self.costs.items()
            ],
            "good": JobState.COMPLETED,
            "unless_watched": self.unless_watched,
        }


@dataclass(frozen=True, slots=True)
class ReserveAgain(Effect):
    """Reserves money for one more submission. `within_budget`: if a hard budget does not allow it, nothing of
    the transition is applied. `why`: for the ledger."""

    name: ClassVar = "reserve_again"
    within_budget: bool
    why: str

    def document(self, of: Subject) -> dict[str, Any]:
        return {"within_budget": self.within_budget, "why": self.why}
