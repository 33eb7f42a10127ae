"""What your tenant used, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime

from .models import Usage
from .requests import Request, record
from .steps import Call, Method, Net, Resource


class UsageOfTenant(Resource[Net]):
    """What your jobs cost: `client.usage.get()`."""

    @Method
    def get(
        self,
        since: date | str | None = None,
        until: date | str | None = None,
        *,
        group_by: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Call[Usage]:
        """What the jobs of these days (UTC, both included) cost, and what is left of your budgets.

        `group_by`: one line for each, such as `day` or `key`. `more`: other parameters of `GET /v1/usage`.
        """
        query = {"from": _day(since), "to": _day(until), "group_by": group_by, **(more or {})}
        return record(Usage, Request("GET", "/v1/usage", query))


def _day(given: date | str | None) -> str | None:
    if isinstance(given, datetime):
        given = given.astimezone(UTC).date()
    return given.isoformat() if isinstance(given, date) else given
