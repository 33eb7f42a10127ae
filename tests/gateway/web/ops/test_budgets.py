"""Budgets of tenants and keys over HTTP: set, shown, refused, removed, audited."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.resources import Resources
from gateway.store import keys
from gateway.tenants import Scope
from gateway.web.schemas import tenants
from tests.gateway.web.conftest import MakeKey, connected
from tests.gateway.web.parsing import parsed

TENANT = "/ops/api/tenants/acme"
NONE = {"day": None, "month": None, "total": None}


@pytest.fixture
async def operator(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(app, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])) as opened:
        yield opened


async def stored(resources: Resources) -> dict[str, str]:
    fields: dict[str, str] = await resources.redis.hgetall(keys.tenant_settings("acme"))  # type: ignore[misc]
    return {name: value for name, value in fields.items() if name.startswith("budget")}


async def test_budgets_are_set_changed_and_removed_one_by_one(
    operator: httpx.AsyncClient, resources: Resources
) -> None:
    made = await operator.post(
        "/ops/api/tenants", json={"tenant": "acme", "budgets": {"day": {"limit": "10"}}}
    )
    assert parsed(tenants.TenantSettings, made.content)["budgets"] == NONE | {
        "day": {"limit": "10.0000", "hard": True}
    }
    changes = {"month": {"limit": "100.5", "hard": False}, "total": {"limit": "0"}}
    changed = await operator.patch(TENANT, json={"budgets": changes})
    assert changed.json()["budgets"] == {
        "day": {"limit": "10.0000", "hard": True},
        "month": {"limit": "100.5000", "hard": False},
        "total": {"limit": "0.0000", "hard": True},
    }
    assert await stored(resources) == {
        "budget_day": "10000000|hard",
        "budget_month": "100500000|soft",
        "budget_total": "0|hard",
    }
    await operator.patch(TENANT, json={"budgets": {"day": None}, "weight": 2})
    shown = (await operator.get(TENANT)).json()
    assert (shown["budgets"]["day"], shown["budgets"]["total"] is None, shown["weight"]) == (None, False, 2)
    assert (await operator.patch(TENANT, json={"budgets": None})).json()["budgets"] == NONE
    assert await stored(resources) == {}


async def test_every_change_of_a_budget_is_audited_with_the_amounts(operator: httpx.AsyncClient) -> None:
    for limit in ("10", "10.00", "25.5"):
        await operator.patch(TENANT, json={"budgets": {"day": {"limit": limit}}})
    await operator.patch(TENANT, json={"budgets": {"day": {"limit": "25.5", "hard": False}}})
    await operator.patch(TENANT, json={"budgets": {"day": None}})
    entries = (await operator.get("/ops/api/audit")).json()["data"]
    assert [entry["budget_day"] for entry in reversed(entries)] == [
        "none -> 10.000000 hard",
        "10.000000 hard -> 25.500000 hard",
        "25.500000 hard -> 25.500000 soft",
        "25.500000 soft -> none",
    ]
    assert {entry["act"] for entry in entries} == {"tenant_changed"}


@pytest.mark.parametrize(
    ("budgets", "param", "code"),
    [
        ({"day": {"limit": "-1"}}, "budgets.day.limit", "wrong_form"),
        ({"day": {"limit": "abc"}}, "budgets.day.limit", "wrong_form"),
        ({"day": {"limit": "0.0000001"}}, "budgets.day.limit", "wrong_form"),
        ({"month": {"limit": "9999999999"}}, "budgets.month.limit", "out_of_range"),
        ({"month": {"limit": 5}}, "budgets.month.limit", "wrong_type"),
        ({"total": {"hard": True}}, "budgets.total.limit", "required"),
        ({"total": {"limit": "1", "hard": "yes"}}, "budgets.total.hard", "wrong_type"),
        ({"total": {"limit": "1", "soft": True}}, "budgets.total.soft", "unknown_parameter"),
        ({"year": {"limit": "1"}}, "budgets.year", "unknown_parameter"),
        ({"day": "10"}, "budgets.day", "wrong_type"),
        ("10", "budgets", "wrong_type"),
    ],
)
async def test_a_wrong_budget_is_refused_with_its_field(
    operator: httpx.AsyncClient, resources: Resources, budgets: Any, param: str, code: str
) -> None:
    answer = await operator.patch(TENANT, json={"budgets": budgets})
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert (error["param"], error["code"]) == (param, code)
    assert await stored(resources) == {}


async def test_a_key_has_budgets_of_its_own(operator: httpx.AsyncClient, resources: Resources) -> None:
    key_id = (await operator.post(f"{TENANT}/keys", json={})).json()["id"]
    path = f"/ops/api/keys/{key_id}"
    changed = await operator.patch(path, json={"budgets": {"month": {"limit": "3"}}})
    shown = parsed(tenants.ClientKey, changed.content)
    assert shown["budgets"] == NONE | {"month": {"limit": "3.0000", "hard": True}}
    assert (await operator.get(f"{TENANT}/keys")).json()["data"][0]["budgets"] == shown["budgets"]
    assert (await operator.get(TENANT)).json()["budgets"] == NONE
    assert await stored(resources) == {f"budget_month:{key_id}": "3000000|hard"}
    assert (await operator.patch(path, json={"budgets": None})).json()["budgets"] == NONE
    assert (await operator.patch(path, json={})).json()["errors"][0]["param"] == "budgets"
    assert (await operator.patch("/ops/api/keys/0a0b0c0d0e0f", json={"budgets": None})).status_code == 404


async def test_a_key_that_replaces_another_has_its_budgets(operator: httpx.AsyncClient) -> None:
    old = (await operator.post(f"{TENANT}/keys", json={})).json()["id"]
    budgets = {"day": {"limit": "3", "hard": False}, "total": {"limit": "9"}}
    wanted = (await operator.patch(f"/ops/api/keys/{old}", json={"budgets": budgets})).json()["budgets"]
    new = (await operator.post(f"/ops/api/keys/{old}/rotate", json={})).json()
    assert new["budgets"] == wanted
    assert [key["budgets"] for key in (await operator.get(f"{TENANT}/keys")).json()["data"]] == [wanted] * 2
