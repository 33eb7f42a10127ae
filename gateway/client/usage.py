"""What your tenant used, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from .models import Usage
from .requests import Request, record
from .steps import Call, Method, Net, Resource


class UsageOfTenant(Resource[Net]):
    """`client.usage`."""

    @Method
    def get(
        self,
        since: date | datetime | str | None = None,
        until: date | datetime | str | None = None,
        *,
        group_by: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Call[Usage]:
        """The usage of a time range. `group_by`: one entry for each, such as `day`. `more`: other filters,
        by name. The whole answer is in `raw`."""
        query = {"from": _text(since), "to": _text(until), "group_by": group_by, **(more or {})}
        return record(Usage, Request("GET", "/v1/usage", query))


def _text(given: date | datetime | str | None) -> str | None:
    return given if given is None or isinstance(given, str) else given.isoformat()
