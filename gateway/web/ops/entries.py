"""Stored entries of logs and histories as the API shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

from gateway.jobs import rfc3339
from gateway.web.schemas import ops as schemas

E = TypeVar(
    "E",
    schemas.JobHistoryEntry,
    schemas.JobHistoryLine,
    schemas.OpsEvent,
    schemas.AuditEntry,
    schemas.Quarantined,
)


def entry(row: Mapping[str, str], _: type[E]) -> E:
    """The stored row, with its time in RFC 3339 and its epoch as a number. What else it holds depends on its
    kind, so the schema of the entry lets other fields be."""
    shown: dict[str, object] = {**row, "at": rfc3339(int(row["at"]))}
    if "epoch" in row:
        shown["epoch"] = int(row["epoch"])
    return cast(E, shown)
