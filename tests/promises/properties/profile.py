"""How long the state machines are run: with a FAULT_SCALE longer, and differently each time."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

from tests.effort import SCALE, scaled


def effort(examples: int, steps: int) -> settings:
    """`examples` of `steps` each, always the same; with a scale, as many times that, half as long again."""
    return settings(
        max_examples=scaled(examples),
        stateful_step_count=steps * 3 // 2 if SCALE else steps,
        derandomize=not SCALE,
        database=None,
        deadline=None,
        print_blob=bool(SCALE),
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
