"""Judges a run by its ledgers alone: every invariant, and that enough went wrong to mean anything."""

from __future__ import annotations

from tests.promises.faults import (
    check_end,
    check_failovers,
    check_jobs,
    check_ledger,
    check_money,
    check_webhooks,
    coverage,
)
from tests.promises.faults.evidence import Evidence, Violation, load

__all__ = ["Evidence", "Violation", "check", "load"]


def check(found: Evidence) -> list[Violation]:
    """Every violation; none is a good run."""
    parts = (check_jobs, check_money, check_ledger, check_webhooks, check_end, check_failovers, coverage)
    return [violation for part in parts for violation in part.check(found)]
