"""All operators' operations on money, one entry each."""

from __future__ import annotations

from typing import Final

from gateway.tenants import Scope
from gateway.web.api.usage import FORMAT, FROM, TO
from gateway.web.operation import Operation, Reply
from gateway.web.ops import usage
from gateway.web.ops.filters import LIMIT
from gateway.web.schemas import usage as schemas

_READ: Final = (Scope.OPS_READ,)

MONEY: Final = (
    Operation(
        "GET", "/ops/api/usage", "opsGetUsage", "Get what jobs cost, of all tenants or of one", usage.show,
        {200: Reply("The usage.", schemas.OpsUsage, csv=True)},
        _READ, query=(FROM, TO, usage.GROUP_BY, usage.TENANT, FORMAT),
    ),
    Operation(
        "GET", "/ops/api/suspense", "listSuspense", "List jobs whose money is in suspense", usage.suspense,
        {200: Reply("A page, longest in suspense first.", schemas.SuspenseList)},
        _READ, query=(usage.SUSPENSE_AFTER, LIMIT),
    ),
    Operation(
        "GET", "/ops/api/ledger", "exportLedger", "Export the ledger of a time range", usage.export,
        {200: Reply("One entry per line, oldest first.", lines=schemas.LedgerEntry, csv=True)},
        _READ,
        description="Here `from` and `to` are days (UTC) on which entries were written.",
        query=(FROM, TO, usage.LEDGER_FORMAT),
    ),
    Operation(
        "GET", "/ops/api/ledger/check", "checkLedger", "Compare the balances with the ledger", usage.check,
        {200: Reply("What was compared, and what differs.", schemas.LedgerChecked)},
        _READ,
        description="Reads all entries from `from`, one of the last 100 days, to now. It may take minutes. A "
        "gateway does one at a time; others get a 429.",
        query=(FROM, TO),
    ),
)  # fmt: skip
