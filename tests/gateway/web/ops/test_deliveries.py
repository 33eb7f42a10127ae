"""Deliveries of any tenant, and paused subscribers, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.dispatch import Role
from gateway.jobs import confirm_ticket, submit_ticket
from gateway.resources import Resources
from gateway.store import keys
from gateway.tenants import Scope
from gateway.web.schemas import subscribers
from gateway.web.state import State
from tests.gateway.web.conftest import BODY, MakeKey, connected
from tests.gateway.web.parsing import parsed


@pytest.fixture
async def operator(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(app, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])) as opened:
        yield opened


async def owed(client: httpx.AsyncClient, resources: Resources) -> tuple[str, str]:
    """The ids of an endpoint of the tenant, and of a delivery that waits there."""
    made = await client.post("/v1/endpoints", json={"url": "http://127.0.0.1:9000/hook"})
    posted = (await client.post("/v1/jobs", json=BODY)).json()
    job = await resources.jobs.read(posted["id"])
    assert job
    await resources.settlement.cancel(job, [submit_ticket(job), confirm_ticket(job)])
    [delivery] = (await client.get("/v1/deliveries")).json()["data"]
    return made.json()["id"], delivery["id"]


async def kinds(operator: httpx.AsyncClient) -> list[str]:
    return [event["kind"] for event in (await operator.get("/ops/api/events")).json()["data"]]


async def test_any_tenant_s_deliveries_are_listed_shown_and_sent_again(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, state: State
) -> None:
    _, delivery = await owed(client, state.resources)
    page = (await operator.get("/ops/api/deliveries?tenant=acme&state=pending")).json()
    assert [one["id"] for one in page["data"]] == [delivery]
    assert (await operator.get("/ops/api/deliveries?tenant=zeta")).json()["data"] == []
    shown = await operator.get(f"/ops/api/deliveries/{delivery}")
    assert parsed(subscribers.OpsDelivery, shown.content)["tenant"] == "acme"
    redis = state.resources.redis
    await redis.delete("{gw}:deliver:holders", keys.slots(Role.DELIVER))  # as if its attempt had ended
    again = await operator.post(f"/ops/api/deliveries/{delivery}/redeliver")
    assert (again.status_code, again.json()["trigger"]) == (202, "manual")
    assert await kinds(operator) == ["delivery_sent_again"]


async def test_whose_deliveries_must_be_said(operator: httpx.AsyncClient) -> None:
    refused = await operator.get("/ops/api/deliveries")
    assert (refused.status_code, refused.json()["errors"][0]["param"]) == (400, "tenant")


@pytest.mark.parametrize("name", ["x", f"dlv_{'0' * 26}_completed_{'0' * 26}"])
async def test_a_delivery_that_is_not_there_is_404(operator: httpx.AsyncClient, name: str) -> None:
    assert (await operator.get(f"/ops/api/deliveries/{name}")).status_code == 404
    assert (await operator.post(f"/ops/api/deliveries/{name}/redeliver")).status_code == 404


async def listed(operator: httpx.AsyncClient) -> list[subscribers.Subscriber]:
    answer = await operator.get("/ops/api/subscribers/paused")
    return parsed(subscribers.SubscriberList, answer.content)["data"]


async def test_a_paused_subscriber_gets_nothing_until_it_is_resumed(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, state: State
) -> None:
    made = await client.post("/v1/endpoints", json={"url": "http://127.0.0.1:9000/hook"})
    endpoint = made.json()["id"]
    paused = await operator.post(
        "/ops/api/subscribers/pause", json={"subscriber": endpoint, "reason": "they asked"}
    )
    assert paused.status_code == 200
    posted = (await client.post("/v1/jobs", json=BODY)).json()
    job = await state.resources.jobs.read(posted["id"])
    assert job
    await state.resources.settlement.cancel(job, [submit_ticket(job), confirm_ticket(job)])
    [one] = await listed(operator)
    assert tuple(one[name] for name in ("id", "tenant", "url", "paused_until", "waiting")) == (
        *(endpoint, "acme", "http://127.0.0.1:9000/hook", None, 1),
    )
    assert await state.resources.redis.zcard(keys.slots(Role.DELIVER)) == 0
    await operator.post("/ops/api/subscribers/resume", json={"subscriber": endpoint})
    assert await listed(operator) == []
    assert await state.resources.redis.zcard(keys.slots(Role.DELIVER)) == 1
    assert await kinds(operator) == ["subscriber_parked", "subscribers_resumed"]


async def test_after_an_outage_of_our_own_all_are_resumed(operator: httpx.AsyncClient, state: State) -> None:
    for number in range(5):
        await state.resources.lanes.pause(Role.DELIVER, f"url-{number:020x}", 60_000 * (number + 1))
    found = await listed(operator)
    assert [one["id"] for one in found] == [f"url-{number:020x}" for number in range(5)]
    assert all(one["paused_until"] for one in found)
    left = await operator.post("/ops/api/subscribers/resume", json={"all": True})
    assert left.json()["data"] == []


async def test_many_are_resumed_a_hundred_in_a_step_because_a_step_holds_up_redis(
    operator: httpx.AsyncClient, state: State
) -> None:
    for number in range(101):
        await state.resources.lanes.pause(Role.DELIVER, f"url-{number:020x}", None)
    left = await operator.post("/ops/api/subscribers/resume", json={"all": True})
    assert left.json()["data"] == []
    acts = (await operator.get("/ops/api/audit")).json()["data"]
    assert [(act["act"], act["number"], act.get("subscriber")) for act in acts] == [
        ("subscribers_resumed", "1", None),
        ("subscribers_resumed", "100", None),
    ]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("resume", {}, "subscriber"),
        ("resume", {"all": True, "subscriber": f"url-{0:020x}"}, "subscriber"),
        ("resume", {"subscriber": "ep_1"}, "subscriber"),
        ("pause", {"subscriber": f"url-{0:020x}"}, "reason"),
        ("pause", {"subscriber": f"url-{0:020x}", "reason": "x", "seconds": 0}, "seconds"),
        ("pause", {"subscriber": f"url-{0:020x}", "reason": "\u200b"}, "reason"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_its_name(
    operator: httpx.AsyncClient, path: str, body: dict[str, Any], param: str
) -> None:
    refused = await operator.post(f"/ops/api/subscribers/{path}", json=body)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["param"] == param
    assert await kinds(operator) == []
