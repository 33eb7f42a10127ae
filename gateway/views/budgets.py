"""A budget's threshold, as an event shows it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from gateway.jobs import Job
from gateway.money.amounts import to_text
from gateway.views.shapes import shape


@shape
class BudgetReached(TypedDict):
    """A budget of which a threshold was reached. Amounts are decimal strings."""

    budget: str
    """Whose budget, and of which period: `tenant day`, `key total`."""
    period: Annotated[str, Field(examples=["2026-12-01", "2026-12", "total"])]
    limit: str
    used: str
    """What is spent and reserved, with this job."""
    percent: Annotated[int, Field(ge=0)]
    """The threshold."""
    hard: bool
    """A job above the limit is refused."""


def budgets_of(job: Job) -> list[BudgetReached]:
    """Those of which the acceptance of the job reached a threshold."""
    return [
        {
            "budget": one["budget"],
            "period": one["period"],
            "limit": to_text(int(one["limit"])),
            "used": to_text(int(one["used"])),
            "percent": one["percent"],
            "hard": one["hard"],
        }
        for one in job.budgets
    ]
