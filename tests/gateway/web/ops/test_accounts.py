"""The operators' view of several accounts: each is seen, paused and resumed by its name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from gateway.dispatch import Role
from gateway.lifecycle import JobEvent
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.store.effects import BindTask, HoldSlot
from gateway.store.transitions import Transition
from gateway.tenants import Scope
from gateway.web.schemas import ops
from gateway.web.schemas import overview as overview_schemas
from tests.gateway.store.conftest import held
from tests.gateway.web.conftest import BODY, MakeKey, connected
from tests.gateway.web.parsing import parsed

CANARY = "second-key-canary"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    second = f'[{{"name": "second", "key": "{CANARY}", "weight": 3, "slots": 4, "rate": 2}}]'
    return settings.model_copy(update={"upstream_accounts": SecretStr(second)})


@pytest.fixture
async def operator(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(app, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])) as opened:
        yield opened


async def test_all_accounts_are_listed_without_their_keys(operator: httpx.AsyncClient) -> None:
    answer = await operator.get("/ops/api/accounts")
    found = parsed(ops.AccountList, answer.content)["data"]
    assert [(one["name"], one["limit"], one["weight"], one["rate"]) for one in found] == [
        ("main", 5, 1, 0),
        ("second", 4, 3, 2),
    ]
    assert CANARY not in answer.text


async def test_one_is_paused_and_resumed_and_the_other_is_not(operator: httpx.AsyncClient) -> None:
    paused = await operator.post("/ops/api/accounts/second/pause", json={"reason": "the invoice"})
    assert (paused.json()["name"], paused.json()["paused"]) == ("second", True)
    assert not (await operator.get("/ops/api/accounts/main")).json()["paused"]
    overview = parsed(overview_schemas.Overview, (await operator.get("/ops/api/overview")).content)
    assert {one["name"]: one["paused"] for one in overview["accounts"]} == {"main": False, "second": True}
    [alarm] = [alarm for alarm in overview["alarms"] if alarm["code"] == "AccountParked"]
    assert "account second" in alarm["text"]
    resumed = await operator.post("/ops/api/accounts/second/resume")
    assert resumed.json() == (await operator.get("/ops/api/accounts/second")).json()
    assert not resumed.json()["paused"]
    kinds = [(row["kind"], row["account"]) for row in (await operator.get("/ops/api/events")).json()["data"]]
    assert kinds == [("account_parked", "second"), ("account_resumed", "second")]


@pytest.mark.parametrize("name", ["third", "Second", "a%2Fb"])
async def test_an_account_that_is_not_in_the_settings_is_404(operator: httpx.AsyncClient, name: str) -> None:
    answers = [
        await operator.get(f"/ops/api/accounts/{name}"),
        await operator.post(f"/ops/api/accounts/{name}/pause", json={"reason": "x"}),
        await operator.post(f"/ops/api/accounts/{name}/resume"),
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 404]


async def test_operators_see_whose_a_job_is_and_its_tenant_does_not(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, resources: Resources
) -> None:
    await operator.post("/ops/api/accounts/main/pause", json={"reason": "the invoice"})
    name = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    found = parsed(ops.JobWithHistory, (await operator.get(f"/ops/api/jobs/{name}")).content)
    assert found["job"]["account"] is None
    claimed = await resources.jobs.claim(await held(resources.redis, Role.SUBMIT, name), "run-1")
    assert claimed
    await resources.jobs.apply(
        claimed, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("t-1"), HoldSlot()])
    )
    assert (await operator.get(f"/ops/api/jobs/{name}")).json()["job"]["account"] == "second"
    timeline = (await operator.get(f"/ops/api/jobs/{name}/timeline")).json()["data"]
    assert [entry["account"] for entry in timeline if "account" in entry] == ["second"]
    for path in (f"/v1/jobs/{name}", f"/v1/jobs/{name}/timeline", "/v1/jobs"):
        assert "second" not in (await client.get(path)).text
