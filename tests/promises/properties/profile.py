"""How long to search: `FAULT_SCALE=n` multiplies the examples and looks at new ones in every run."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

SCALE = float(os.environ.get("FAULT_SCALE", "0"))


def effort(examples: int, steps: int) -> settings:
    """`examples` of `steps` each, always the same; with a scale, as many times that, half as long again."""
    return settings(
        max_examples=max(1, int(examples * SCALE)) if SCALE else examples,
        stateful_step_count=steps * 3 // 2 if SCALE else steps,
        derandomize=not SCALE,
        database=None,
        deadline=None,
        print_blob=bool(SCALE),
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
