"""What happened to a job, as the scripts note it beside its record."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gateway.lifecycle import JobState


def audit_of(created_at: int, noted: Sequence[str]) -> list[dict[str, str]]:
    """Oldest first: at (ms), event, from, to, epoch, ... That the job was accepted is told by its record
    alone; one that was rebuilt from a callback says so in its first entry."""
    entries = [
        {name: str(value) for name, value in orjson.loads(text).items() if value not in ("", None)}
        for text in noted
    ]
    if not entries or entries[0]["event"] != "rebuilt":
        entries.insert(0, {"at": str(created_at), "event": "accepted", "to": JobState.QUEUED})
    return entries
