"""Faults by chance, for long runs: each creation draws for each fault named, from a seeded random."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.sandbox.faults import Fault, parse
from gateway.sandbox.refusals import Refused


class Chances:
    """Every fault has a random of its own, so that naming one more does not change when the others strike."""

    def __init__(self) -> None:
        self._seed = 0
        self._faults: dict[str, Fault] = {}
        self._odds: dict[str, float] = {}
        self._randoms: dict[str, random.Random] = {}

    def set(self, wanted: Mapping[str, object], default_seed: int) -> None:
        """{"slow=2": 0.1, ..., "seed": 7} in place of what held before. Raises Refused, changing nothing."""
        seed = wanted.get("seed", default_seed)
        if type(seed) is not int:
            raise Refused("FieldInvalid", "seed must be an integer")
        faults, odds = {}, {}
        for text, chance in wanted.items():
            if text == "seed":
                continue
            fault = parse(text)
            if fault.count is not None or fault.name in faults:
                raise Refused(
                    "FieldInvalid", f"a chance names each fault once and has no count: {text[:60]!r}"
                )
            if isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 <= chance <= 1:
                raise Refused("FieldInvalid", f"the chance of {fault.name} must be a number from 0 to 1")
            faults[fault.name], odds[fault.name] = replace(fault, by="chance"), float(chance)
        self._seed, self._faults, self._odds = seed, faults, odds
        self._randoms = {name: random.Random(f"{seed}:{name}") for name in faults}

    def early(self) -> Fault | None:
        """The draw for the one fault that strikes before the body of a creation is read."""
        return self._faults["reset_early"] if self._strikes("reset_early") else None

    def due(self) -> dict[str, Fault]:
        """By name, for one creation: the draws for all the others."""
        return {
            name: fault
            for name, fault in self._faults.items()
            if name != "reset_early" and self._strikes(name)
        }

    def shown(self) -> dict[str, Any]:
        chances = {
            fault.name if fault.value is None else f"{fault.name}={fault.value}": self._odds[fault.name]
            for fault in self._faults.values()
        }
        return {"seed": self._seed, "chances": chances}

    def clear(self) -> None:
        self.set({}, 0)

    def _strikes(self, name: str) -> bool:
        return name in self._faults and self._randoms[name].random() < self._odds[name]
