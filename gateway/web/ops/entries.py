"""Converts stored entries of logs and histories to the API's schemas."""

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
    """The stored row, with its time in RFC 3339 and its epoch as a number. Further fields depend on its kind,
    so the schemas of entries allow them."""
    shown: dict[str, object] = {**row, "at": rfc3339(int(row["at"]))}
    if "epoch" in row:
        shown["epoch"] = int(row["epoch"])
    return cast(E, shown)
