"""Money over HTTP: a refusal by a budget, and an operator's decision about what is in suspense."""

from __future__ import annotations

import httpx
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette

from gateway.lifecycle import JobEvent
from gateway.money.prices import Price, PriceBook, Use
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.effects import SetFields
from gateway.store.transitions import Transition
from gateway.tenants import Scope
from gateway.web.http.problem_document import Problem
from gateway.web.state import State
from tests.books import PRICE, amounts, check, set_budget
from tests.gateway.web.conftest import BODY, MakeKey, connected
from tests.gateway.web.parsing import parsed

USE = Use("vtrix", "viduq2_pro_reference", "720p", with_clips=False, off_peak=False)
BOOK = PriceBook((Price(USE, "2026-01-01", PRICE, 0, 0),))


@pytest.fixture
def redis(state: State) -> Redis:
    return state.resources.redis


@pytest.fixture
async def priced(state: State) -> Resources:
    """Of the gateway, which knows a price."""
    await state.resources.prices.change(BOOK, 0, "op1", {})
    await state.price_watch.look()
    return state.resources


async def test_a_job_over_the_budget_is_refused_with_402_and_not_queued(
    priced: Resources, app: Starlette, client: httpx.AsyncClient, redis: Redis
) -> None:
    await set_budget(redis, PRICE, "month")
    first = await client.post("/v1/jobs", json=BODY)
    assert first.status_code == 202
    answer = await client.post("/v1/jobs", json=BODY)
    document = parsed(Problem, answer.content)
    assert (answer.status_code, document["type"]) == (402, "/docs/errors/budget-exceeded")
    assert "retry-after" not in answer.headers
    [fault] = document["errors"]
    assert fault["code"] == "budget_exceeded"
    assert (document["budget"], document["limit"], document["spent"], document["reserved"]) == (
        *("tenant month", "0.2750", "0.0000"),
        "0.2750",
    )
    assert document["estimate"] == "0.2750"
    assert (await client.get("/v1/jobs")).json()["data"][0]["id"] == first.json()["id"]
    assert len((await client.get("/v1/jobs")).json()["data"]) == 1


async def test_without_a_price_a_hard_budget_answers_402(client: httpx.AsyncClient, redis: Redis) -> None:
    await set_budget(redis, PRICE)
    answer = await client.post("/v1/jobs", json=BODY)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (402, "price_unknown")
    assert answer.json()["budget"] == "tenant day"


async def test_a_status_costs_nothing_and_is_never_refused_for_money(
    priced: Resources, client: httpx.AsyncClient, redis: Redis
) -> None:
    made = await client.post("/v1/jobs", json=BODY)
    await set_budget(redis, 0, "total")
    for path in (f"/v1/jobs/{made.json()['id']}", "/v1/jobs", "/v1/deliveries"):
        assert (await client.get(path)).status_code == 200
    assert (await client.post(f"/v1/jobs/{made.json()['id']}/cancel")).status_code == 200


async def test_the_vtrix_door_answers_402(priced: Resources, client: httpx.AsyncClient, redis: Redis) -> None:
    await set_budget(redis, 0)
    answer = await client.post("/model/v1/generation", json=BODY)
    document = answer.json()
    assert (answer.status_code, document["code"], document["error"]) == (402, 402, "budget_exceeded")
    assert document["errors"][0]["code"] == "budget_exceeded"


async def suspended(resources: Resources, client: httpx.AsyncClient) -> str:
    """A job that was sent, and whose outcome was never known."""
    job_id: str = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    job = await resources.jobs.read(job_id)
    assert job
    for event in (JobEvent.CLAIMED, JobEvent.OUTCOME_LOST, JobEvent.DEADLINE_PASSED):
        sent = SetFields({"epoch": 1, "released_at": job.created_at})
        await resources.jobs.apply(job, Transition(event, effects=[sent]))
    return job_id


@pytest.mark.parametrize(("amount", "micros"), [("0.3", 300_000), ("0", 0)])
async def test_an_operator_decides_what_a_job_in_suspense_cost(
    priced: Resources,
    app: Starlette,
    client: httpx.AsyncClient,
    redis: Redis,
    make_key: MakeKey,
    amount: str,
    micros: int,
) -> None:
    job_id = await suspended(priced, client)
    assert await amounts(redis) == {"suspense": PRICE}
    wanted = {"amount": amount, "reason": "the invoice says so"}
    path = f"/ops/api/jobs/{job_id}/charge"
    async with connected(app, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])) as operator:
        answer = await operator.post(path, json=wanted)
        assert answer.status_code == 200
        shown = answer.json()["job"]["cost"]
        assert (shown["reserved"], shown["basis"]) == ("0.0000", "operator")
        assert float(shown["charged"]) == float(amount)
        assert answer.json()["audit"][-1]["event"] == "charge_decided"
        assert (await operator.post(path, json=wanted)).status_code == 409
        [entry, *_] = (await operator.get("/ops/api/audit")).json()["data"]
        assert (entry["act"], entry["job"], entry["reason"]) == ("job_charged", job_id, "the invoice says so")
    charged = {"charged": micros, "wasted": micros} if micros else {}
    assert await amounts(redis) == charged
    assert await redis.zcard(keys.SUSPENSE) == 0
    await check(redis)


@pytest.mark.parametrize("amount", ["-1", "0.1234567", "1e3", "9999999999", 1])
async def test_a_decision_needs_an_exact_amount(
    priced: Resources, app: Starlette, client: httpx.AsyncClient, make_key: MakeKey, amount: object
) -> None:
    job_id = await suspended(priced, client)
    async with connected(app, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])) as operator:
        answer = await operator.post(
            f"/ops/api/jobs/{job_id}/charge", json={"amount": amount, "reason": "the invoice"}
        )
    assert answer.status_code == 422
    assert [fault["param"] for fault in answer.json()["errors"]] == ["amount"]


async def test_after_a_decision_late_evidence_charges_nothing_more(
    priced: Resources, client: httpx.AsyncClient, redis: Redis
) -> None:
    job_id = await suspended(priced, client)
    job = await priced.jobs.read(job_id)
    assert job
    await priced.charges.decide(job, 0, "never arrived", "op1")
    await priced.settlement.charge(job, {}, refunded=["task_9"])
    after = await priced.jobs.read(job_id)
    assert after
    assert (after.charged, after.charge_basis) == (0, "operator")
    assert (await redis.hget(keys.TALLY, "charges|decided")) == "1"  # type: ignore[misc]
