"""Waiting lines, the history and what was given up, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from gateway.dispatch import Role, Ticket
from gateway.jobs import confirm_ticket, submit_ticket
from gateway.lifecycle import DeliveryEvent
from gateway.resources import Resources
from gateway.store import keys
from gateway.tenants import Scope
from gateway.web.schemas import queues
from gateway.web.state import State
from tests.gateway.web.conftest import BODY, MakeKey, connected
from tests.gateway.web.parsing import parsed


@pytest.fixture
async def operator(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(app, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])) as opened:
        yield opened


async def make_dead_letter(client: httpx.AsyncClient, resources: Resources) -> str:
    """The id of a delivery of a new job that was given up."""
    posted = (await client.post("/v1/jobs", json={**BODY, "callback_url": "http://127.0.0.1:9000/x"})).json()
    job = await resources.jobs.read(posted["id"])
    assert job
    await resources.settlement.cancel(job, [submit_ticket(job), confirm_ticket(job)])
    [delivery] = await resources.deliveries.of_job(job.id)
    name = f"{delivery.lane}|{delivery.id}"
    number = int(await resources.redis.hget("{gw}:deliver:holders", name) or 0)  # type: ignore[misc]
    ticket = Ticket(Role.DELIVER, delivery.lane, delivery.id, number)
    await resources.deliveries.finish(
        ticket, delivery, DeliveryEvent.ATTEMPTS_EXHAUSTED, retry_in_ms=None, tally=[]
    )
    return delivery.id


async def test_dead_letters_are_listed_over_all_tenants_and_redelivered(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, operator: httpx.AsyncClient, state: State
) -> None:
    first = await make_dead_letter(client, state.resources)
    second = await make_dead_letter(stranger, state.resources)
    page = parsed(queues.DeadLetters, (await operator.get("/ops/api/dead-letters")).content)
    assert {(one["id"], one["tenant"]) for one in page["data"]} == {(first, "acme"), (second, "other")}
    short = (await operator.get("/ops/api/dead-letters?limit=1")).json()
    assert short["has_more"]
    rest = (await operator.get(short["next"])).json()["data"]
    assert {one["id"] for one in [*short["data"], *rest]} == {first, second}
    done = await operator.post("/ops/api/dead-letters/redeliver", json={"number": 500})
    assert done.status_code == 202
    assert parsed(queues.Redelivery, done.content) == {
        "object": "redelivery",
        "sent": 2,
        "hindered": {},
        "has_more": False,
    }
    assert (await operator.get("/ops/api/dead-letters")).json()["data"] == []
    assert await state.resources.redis.zcard(keys.DEAD) == 0


@pytest.mark.parametrize("number", [0, 501, "1", None])
async def test_how_many_are_sent_again_is_bounded(operator: httpx.AsyncClient, number: object) -> None:
    refused = await operator.post("/ops/api/dead-letters/redeliver", json={"number": number})
    assert (refused.status_code, refused.json()["errors"][0]["param"]) == (422, "number")


async def test_lines_are_shown_for_each_role(client: httpx.AsyncClient, operator: httpx.AsyncClient) -> None:
    await operator.post("/ops/api/pause", json={"reason": "to see them wait"})
    for _ in range(3):
        await client.post("/v1/jobs", json=BODY)
    answer = await operator.get("/ops/api/lanes")
    [lane] = parsed(queues.LaneList, answer.content)["data"]
    assert (lane["lane"], lane["waiting"], lane["paused"]) == ("acme", 3, False)
    assert (await operator.get("/ops/api/lanes?role=deliver")).json()["data"] == []
    assert (await operator.get("/ops/api/lanes?role=other")).status_code == 400


async def test_the_history_is_what_was_sampled(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, state: State
) -> None:
    assert (await operator.get("/ops/api/history")).json()["data"] == []
    await client.post("/v1/jobs", json=BODY)
    await state.resources.samples.sample()
    answer = await operator.get("/ops/api/history?minutes=5")
    [sample] = parsed(queues.History, answer.content)["data"]
    assert (sample["accepted"], sample["finished"]) == (1, 0)
