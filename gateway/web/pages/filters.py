"""Query parameters that several pages share."""

from __future__ import annotations

from typing import Final

from gateway.web.http.params import text
from gateway.web.schemas import ops

TENANT: Final = text("tenant", "The tenant to show.", ops.TENANT, "the name of a tenant")
