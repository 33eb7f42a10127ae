"""Random faults for long runs: each creation draws for each configured fault, from a seeded generator."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.sandbox.faults import Fault, parse
from gateway.sandbox.refusals import RequestRefused


class RandomFaults:
    """Every fault has its own generator, so adding a fault does not change when the others apply."""

    def __init__(self) -> None:
        self._seed = 0
        self._faults: dict[str, Fault] = {}
        self._odds: dict[str, float] = {}
        self._randoms: dict[str, random.Random] = {}

    def set(self, wanted: Mapping[str, object], default_seed: int) -> None:
        """Replaces the chances: {"slow=2": 0.1, ..., "seed": 7}. RequestRefused; it then changes nothing."""
        seed = wanted.get("seed", default_seed)
        if type(seed) is not int:
            raise RequestRefused("FieldInvalid", "seed must be an integer")
        faults, odds = {}, {}
        for text, chance in wanted.items():
            if text == "seed":
                continue
            fault = parse(text)
            if fault.count is not None or fault.name in faults:
                raise RequestRefused(
                    "FieldInvalid", f"a chance names each fault once and has no count: {text[:60]!r}"
                )
            if isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 <= chance <= 1:
                raise RequestRefused(
                    "FieldInvalid", f"the chance of {fault.name} must be a number from 0 to 1"
                )
            faults[fault.name], odds[fault.name] = replace(fault, by="chance"), float(chance)
        self._seed, self._faults, self._odds = seed, faults, odds
        self._randoms = {name: random.Random(f"{seed}:{name}") for name in faults}

    def early(self) -> Fault | None:
        """Draws for `reset_early`, the one fault that applies before the body of a creation is read."""
        return self._faults["reset_early"] if self._applies("reset_early") else None

    def due(self) -> dict[str, Fault]:
        """Draws for all other faults, for one creation. By name."""
        return {
            name: fault
            for name, fault in self._faults.items()
            if name != "reset_early" and self._applies(name)
        }

    def shown(self) -> dict[str, Any]:
        chances = {
            fault.name if fault.value is None else f"{fault.name}={fault.value}": self._odds[fault.name]
            for fault in self._faults.values()
        }
        return {"seed": self._seed, "chances": chances}

    def clear(self) -> None:
        self.set({}, 0)

    def _applies(self, name: str) -> bool:
        return name in self._faults and self._randoms[name].random() < self._odds[name]
