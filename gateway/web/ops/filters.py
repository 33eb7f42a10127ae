"""Query parameters that several of the operators' lists share."""

from __future__ import annotations

from typing import Final

from gateway.web.http.params import text, integer
from gateway.web.schemas import ops

PAGE_DEFAULT: Final = 100
PAGE_MAX: Final = 1000
TENANT: Final = text(
    "tenant",
    "The tenant whose items are listed.",
    ops.TENANT,
    "the name of a tenant",
    missing="is required; send tenant=NAME",
)
BEFORE: Final = text("before", "Only entries older than this one.", ops.ENTRY_ID, "the id of an entry")
AFTER: Final = text("after", "Only entries newer than this one.", ops.ENTRY_ID, "the id of an entry")
LIMIT: Final = integer("limit", "Maximum number of items to return.", 1, PAGE_MAX, PAGE_DEFAULT)
