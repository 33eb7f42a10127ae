"""What becomes of a reservation when its job ends. `money.finish` of the scripts decides the same."""

from __future__ import annotations


def suspense_at_end(reserved: int, estimate: int, *, charged: int, doubtful: int, sent: bool) -> int:
    """What stays in suspense, in micro-units. One submission reserved one estimate. `charged`: tasks whose
    cost is known; `doubtful`: other tasks of the job; `sent`: whether the newest submission was."""
    left = max(0, reserved - charged * estimate)
    returned = 0 if sent else max(0, min(estimate, left - doubtful * estimate))
    return left - returned
