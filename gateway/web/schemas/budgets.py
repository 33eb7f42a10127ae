"""Schemas of budgets in the operators' API."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from gateway.errors import AmountRefused
from gateway.money.amounts import PATTERN, to_micros
from gateway.web.schemas.ops import OpsRequest
from gateway.web.schemas.shape import shape


def _exact(text: str) -> str:
    try:
        to_micros(text)
    except AmountRefused:
        raise PydanticCustomError("less_than_equal", "too large") from None
    return text


class BudgetRequest(OpsRequest):
    limit: Annotated[str, Field(pattern=PATTERN, examples=["25.00"]), AfterValidator(_exact)] = Field(
        description="In the currency of the service, at most 1000000000."
    )
    hard: bool = Field(
        default=True,
        description="Whether a job above it is refused. If not, operators and the tenant are only notified.",
    )


class BudgetsRequest(OpsRequest):
    """An omitted budget stays unchanged; null removes it. Periods are in UTC."""

    day: BudgetRequest | None = None
    month: BudgetRequest | None = None
    total: BudgetRequest | None = Field(default=None, description="Without an end.")


@shape
class Budget(TypedDict):
    limit: str
    hard: bool
    """Whether a job above it is refused."""


@shape
class Budgets(TypedDict):
    """null: no budget. Periods are in UTC."""

    day: Budget | None
    month: Budget | None
    total: Budget | None
    """Without an end."""
