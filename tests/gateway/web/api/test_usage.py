"""What a tenant is told about its money: its own alone, by day and key, as JSON or CSV, with its budgets."""

from __future__ import annotations

import csv
import io
from datetime import date

import httpx
import pytest

from gateway.web.state import State
from tests.gateway.store.accounting import add_balance, day_of, set_budgets

A, B = "00000000000a", "00000000000b"


@pytest.fixture(autouse=True)
async def spent(state: State) -> None:
    redis = state.resources.redis
    await add_balance(redis, "acme", "2026-10-05", key=A, charged=275_000, wasted=275_000, jobs=1, failed=1)
    await add_balance(redis, "acme", "2026-10-06", key=A, charged=1_000_001, jobs=2, completed=1, reserved=5)
    await add_balance(redis, "acme", "2026-10-06", key=B, suspense=100_000, jobs=1, canceled=1)
    await add_balance(redis, "other", "2026-10-06", key=B, charged=9_000_000, jobs=9, completed=9)


RANGE = {"from": "2026-10-01", "to": "2026-10-31"}


async def test_usage_is_told_by_day_and_summed_up(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/usage", params=RANGE)
    assert answer.status_code == 200
    found = answer.json()
    assert {name: found[name] for name in ("object", "currency", "from", "to", "budgets")} == {
        **RANGE, "object": "usage", "currency": "USD", "budgets": []
    }  # fmt: skip
    first, second = found["data"]
    assert first == {
        "day": "2026-10-05", "key": None, "jobs": 1, "completed": 0, "failed": 1, "canceled": 0,
        "charged": "0.2750", "wasted": "0.2750", "reserved": "0.0000", "suspense": "0.0000",
    }  # fmt: skip
    assert (second["day"], second["jobs"], second["charged"]) == ("2026-10-06", 3, "1.000001")
    assert (found["sum"]["charged"], found["sum"]["suspense"]) == ("1.275001", "0.1000")


@pytest.mark.parametrize(
    ("group_by", "lines"),
    [
        ("key", [(None, A, "1.275001"), (None, B, "0.0000")]),
        (
            "key,day",
            [("2026-10-05", A, "0.2750"), ("2026-10-06", A, "1.000001"), ("2026-10-06", B, "0.0000")],
        ),
    ],
)
async def test_usage_is_told_by_key(
    client: httpx.AsyncClient, group_by: str, lines: list[tuple[str | None, ...]]
) -> None:
    found = (await client.get("/v1/usage", params={**RANGE, "group_by": group_by})).json()["data"]
    assert [(one["day"], one["key"], one["charged"]) for one in found] == lines


@pytest.mark.parametrize("wish", [{"format": "csv"}, None])
async def test_usage_is_csv_for_those_who_want_that(
    client: httpx.AsyncClient, wish: dict[str, str] | None
) -> None:
    headers = {} if wish else {"accept": "text/csv"}
    answer = await client.get("/v1/usage", params={**RANGE, **(wish or {})}, headers=headers)
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["day"], row["key"], row["charged"]) for row in rows] == [
        ("2026-10-05", "", "0.2750"), ("2026-10-06", "", "1.000001")
    ]  # fmt: skip
    as_json = await client.get("/v1/usage", params={**RANGE, "format": "json"}, headers=headers)
    assert as_json.json()["object"] == "usage"


async def test_the_current_month_is_the_default_and_a_range_may_begin_anywhere(
    client: httpx.AsyncClient,
) -> None:
    found = (await client.get("/v1/usage")).json()
    today = date.fromisoformat(day_of())
    assert (found["from"], found["to"]) == (today.replace(day=1).isoformat(), today.isoformat())
    found = (await client.get("/v1/usage", params={"to": "2026-10-05"})).json()
    assert (found["from"], found["sum"]["charged"]) == ("2026-10-01", "0.2750")


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({"from": "2026-10-32"}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-10-06", "to": "2026-10-05"}, "from"),
        ({"from": "2020-01-01", "to": "2026-10-05"}, "from"),
        ({"group_by": "tenant"}, "group_by"),
        ({"group_by": "day,day"}, "group_by"),
        ({"group_by": ""}, "group_by"),
        ({"format": "xml"}, "format"),
        ({"since": "2026-10-01"}, "since"),
    ],
)
async def test_a_wrong_parameter_is_named_with_what_to_send(
    client: httpx.AsyncClient, params: dict[str, str], wrong: str
) -> None:
    answer = await client.get("/v1/usage", params=params)
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error["param"] == wrong
    assert error["message"]


async def test_budgets_say_what_is_spent_and_what_is_left(client: httpx.AsyncClient, state: State) -> None:
    redis = state.resources.redis
    await add_balance(redis, "acme", day_of(), key=A, charged=2_000_000, reserved=500_000, suspense=250_000)
    await set_budgets(redis, "acme", {"budget_day": "10000000|hard", f"budget_total:{A}": "1000000|soft"})
    day, total = (await client.get("/v1/usage")).json()["budgets"]
    assert day["ends_at"].endswith("T00:00:00.000Z")
    assert {**day, "ends_at": None} == {
        "budget": "tenant day", "period": "day", "key": None, "hard": True, "limit": "10.0000",
        "spent": "2.0000", "reserved": "0.5000", "suspense": "0.2500", "left": "7.2500", "ends_at": None,
    }  # fmt: skip
    assert (total["budget"], total["key"], total["left"], total["ends_at"]) == (
        "key total",
        A,
        "0.0000",
        None,
    )


async def test_another_tenant_sees_its_own(stranger: httpx.AsyncClient) -> None:
    found = (await stranger.get("/v1/usage", params=RANGE)).json()
    assert (found["sum"]["charged"], found["sum"]["jobs"]) == ("9.0000", 9)
