"""Draining: before a process stops, it keeps serving until load balancers have noticed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Drain:
    """`begun`: /readyz fails, and every response closes its connection, so that clients reconnect
    elsewhere."""

    begun: bool = False
