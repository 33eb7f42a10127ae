"""Parts of the texts of alarms."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.store.spend import SoonSpent


def soon_spent(one: SoonSpent) -> str:
    """How far the budget is used, and until when it lasts."""
    whose = f"key {one.key} of tenant {one.tenant}" if one.key else f"tenant {one.tenant}"
    used = f"{whose} has used {100 * one.used / max(1, one.limit):.0f} % of its budget"
    if one.at is None:
        return used
    of = f"of the {one.period}"
    if one.used >= one.limit:
        return f"{used} {of}"
    return f"{used} {of}; it will be spent by {datetime.fromtimestamp(one.at / 1000, UTC):%b %d, %H:%M} UTC"


def span(seconds: float) -> str:
    """A length of time: 42 s, 3 min, 2 h 5 min."""
    hours, minutes = divmod(int(seconds) // 60, 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def refused(headroom: float) -> str:
    """What a disk with so little room no longer takes."""
    if headroom < 0.5:
        return "no job is accepted"
    if headroom < 1:
        return "uploads and jobs with inline media are refused, and no result is copied"
    return "intake closes soon"
