"""What jobs cost, until the bill: the figures of the service are those of the upstream's own ledger."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.sandbox import prices
from gateway.tenants import Scope
from tests.gateway.commands.test_doctor import run
from tests.gateway.local.test_valkey import eventually
from tests.nursery import Nursery
from tests.processes import ORDER, call, machine

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]
PRICES = str(Path(prices.__file__).with_suffix(".toml"))
JOBS = 12


def test_usage_is_the_upstreams_bill_and_the_ledger_explains_it(tmp_path: Path, nursery: Nursery) -> None:
    with machine(tmp_path, nursery, restricted=True) as service:
        service.environment["GATEWAY_PRICES_FILE"] = PRICES
        (tmp_path / "blobs").mkdir()
        service.start_sandbox()
        service.start_gateway()
        service.start_workers()
        operator = {
            "VIDU_GATEWAY_OPS_KEY": service.make_key("ops", [Scope.OPS_READ]),
            "VIDU_GATEWAY_URL": service.gateway,
        }
        keys = [service.key, service.make_key("acme"), service.make_key("other")]
        for number in range(JOBS):
            order: dict[str, Any] = ORDER | {"duration": 1 + number % 5}
            if number % 4 == 3:
                order["prompt"] = "[[fault:failed_task=NoFox]]"
            assert call("POST", f"{service.gateway}/v1/jobs", keys[number % 3], order)[0] == 202

        def usage(key: str) -> dict[str, Any]:
            found: dict[str, Any] = call("GET", f"{service.gateway}/v1/usage?group_by=key", key)[1]
            return found

        def finished() -> bool:
            sums = [usage(keys[at])["sum"] for at in (0, 2)]
            return bool(sum(one["completed"] + one["failed"] for one in sums) == JOBS)

        eventually(finished)
        posts = service.ledger("post")
        bill = sum(Decimal(fact["charged"]) for fact in posts if fact["charged"] is not None)
        ours = [usage(keys[at]) for at in (0, 2)]
        assert sum(Decimal(one["sum"]["charged"]) for one in ours) == bill > 0
        assert sum(Decimal(one["sum"]["wasted"]) for one in ours) > 0  # the upstream charges failed tasks too
        assert [len(one["data"]) for one in ours] == [2, 1]  # each key by itself
        for one in ours:
            assert sum(Decimal(line["charged"]) for line in one["data"]) == Decimal(one["sum"]["charged"])
            assert (one["sum"]["reserved"], one["sum"]["suspense"]) == ("0.0000", "0.0000")
        code, text = run(service, "ledger", "check", "--json", **operator)
        checked = json.loads(text)
        assert (code, checked["different"]) == (0, 0)
        assert checked["entries"] >= 2 * JOBS
        lines = map(json.loads, run(service, "ledger", "export", **operator)[1].splitlines())
        charges = [Decimal(one["amount"]) for one in lines if one["kind"] == "charge"]
        assert (len(charges), sum(charges)) == (JOBS, bill)
