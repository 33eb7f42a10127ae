"""A process that is about to end, and still serves: long enough for a load balancer to notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Drain:
    """`begun`: readiness is false, and every answer ends its connection, so that clients go elsewhere."""

    begun: bool = False
