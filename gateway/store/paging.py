"""A page of a tenant's jobs, and which jobs it may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.jobs import Job, first_id_at
from gateway.lifecycle import JobState


class Made(NamedTuple):
    """When jobs were made, in ms since the epoch: from `since`, and before `before`."""

    since: int | None = None
    before: int | None = None


EVER: Final = Made()


class JobQuery(NamedTuple):
    """A tenant's jobs in these states, beyond the job `after`."""

    tenant: str
    states: Sequence[JobState]
    after: str | None
    limit: int
    made: Made = EVER
    oldest_first: bool = False

    @property
    def bounds(self) -> tuple[str, str]:
        """The lowest and the highest id of the page, as Redis writes ranges. Ids are ordered by time."""
        low = "" if self.made.since is None else first_id_at(self.made.since)
        high = "" if self.made.before is None else first_id_at(self.made.before)
        if self.after is not None and self.oldest_first:
            low = max(low, self.after)
        elif self.after is not None:
            high = min(high or self.after, self.after)
        return f"({low}" if low else "-", f"({high}" if high else "+"


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs in the order that was asked for. `last`: the next page is after this id; None if there is none. It
    may be that of a job that is not shown, because it was just removed or its archive is lost."""

    jobs: list[Job]
    last: str | None

    @property
    def more(self) -> bool:
        return self.last is not None
