"""Bugs with a store that moves: failovers, replicas, clusters."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import Mutant, named

STORES: Final = (
    Mutant(
        "a_replica_stays_in_the_pool",
        "gateway/store/replies.py",
        "check_served",
        "if reason is None:",
        "if reason is None or reply:",
        "after a switch of the primary, connections lead to the replica for ever: 503, and workers that end",
        (named("gateway/store/replies"),),
    ),
)
