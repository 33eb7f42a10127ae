"""Schemas of usage, budgets and the ledger."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gateway.money.budgets import Period
from gateway.web.schemas.jobs import Count, Timestamp
from gateway.web.schemas.ops import EntryId
from gateway.web.schemas.shape import shape

DAY: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
AMOUNT: Final = r"^-?[0-9]+\.[0-9]{4,6}$"

Money = Annotated[str, Field(pattern=AMOUNT)]
Day = Annotated[str, Field(pattern=DAY)]


@shape
class Amounts(TypedDict):
    """Of jobs that were accepted in the time range, whenever they end."""

    jobs: Count
    """Accepted jobs."""
    completed: Count
    failed: Count
    canceled: Count
    charged: Money
    """What was paid."""
    wasted: Money
    """The part of `charged` for jobs that did not complete."""
    reserved: Money
    """For unfinished jobs, at most: charged or returned when they end."""
    suspense: Money
    """For finished jobs of which it is not known whether they were paid."""


@shape
class UsageLine(Amounts):
    day: Day | None
    """Day of acceptance (UTC). null: all days."""
    key: str | None
    """Id of the key that posted the jobs. null: all keys."""


@shape
class BudgetShown(TypedDict):
    budget: str
    """Whose it is, and its period: `tenant day`, `key month`, ..."""
    period: Period
    key: str | None
    """Id of the key. null: the whole tenant."""
    hard: bool
    """Whether jobs above it are refused."""
    limit: Money
    spent: Money
    """`charged`, of jobs that were accepted in this period."""
    reserved: Money
    suspense: Money
    left: Money
    ends_at: Timestamp | None
    """When the next period begins. null: never."""


#: Days of acceptance (UTC), both included.
Range = TypedDict("Range", {"from": Day, "to": Day})


@shape
class Usage(Range):
    object: Literal["usage"]
    currency: str
    data: list[UsageLine]
    """Ordered by day and key."""
    sum: Amounts
    budgets: list[BudgetShown]


@shape
class OpsAmounts(Amounts):
    unsaid: Money
    """The part of `charged` that is an estimate, because the upstream said no cost."""
    dearer: Money
    """How far the costs that it said were above the estimates, where they were."""
    cheaper: Money
    """How far they were below them, where they were."""


@shape
class OpsUsageLine(OpsAmounts):
    tenant: str | None
    """null: all tenants."""
    day: Day | None
    key: str | None


@shape
class OpsUsage(Range):
    object: Literal["usage"]
    currency: str
    data: list[OpsUsageLine]
    """Ordered by tenant, day and key."""
    sum: OpsAmounts


@shape
class Suspended(TypedDict):
    """A finished job of which it is not known whether it was paid."""

    id: str
    job: str
    tenant: str
    since: Timestamp
    suspense: Money


@shape
class SuspenseList(TypedDict):
    object: Literal["list"]
    data: list[Suspended]
    """Longest in suspense first."""
    has_more: bool
    next: str | None
    """Path of the next page."""


@shape
class LedgerEntry(TypedDict):
    """A change of what a tenant has reserved, spent or in suspense."""

    id: EntryId
    at: Timestamp
    kind: str
    """`reserve`, `charge`, `return`, `suspense` or `adjust`."""
    job: str
    tenant: str
    key: str
    """Id of the key that posted the job."""
    amount: Money
    taken: Money
    """What it took of the reservation, or of the suspense."""
    period: str
    """Day on which the job was accepted: the balances of this day, of its month and of `total` changed."""
    priced: str
    """Since when the price is valid by which it was estimated. Empty: no price was known."""
    why: str


@shape
class LedgerDifference(TypedDict):
    tenant: str
    key: str | None
    """null: the whole tenant."""
    period: str
    """A day, or a month."""
    field: str
    ledger: Money
    balance: Money


@shape
class LedgerChecked(Range):
    object: Literal["ledger_check"]
    entries: Count
    """Entries that were read."""
    balances: Count
    """Balances that were compared."""
    different: Count
    differences: list[LedgerDifference]
    """The first 100 of them."""
