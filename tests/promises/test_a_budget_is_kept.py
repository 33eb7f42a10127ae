"""200 posts at once at three gateways against a budget for exactly 30 jobs, and what they cost at the end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from gateway.money.amounts import to_micros, to_text
from tests import books
from tests.processes import ORDER, Machine, call, free_port
from tests.promises.conftest import eventually
from tests.promises.faults.world import PRICES

pytestmark = pytest.mark.processes

_FITS, _POSTS = 30, 200


@pytest.fixture
def configured() -> dict[str, str]:
    return {"GATEWAY_PRICES_FILE": str(PRICES)}


async def test_200_posts_at_three_gateways_spend_a_budget_for_30_to_the_last_digit(service: Machine) -> None:
    service.start_sandbox(task_seconds="0.2")
    bases = [service.gateway]
    for number in (2, 3):
        port = str(free_port())
        bases.append(f"http://127.0.0.1:{port}")
        service.start(f"gateway{number}", "gateway", probe=f"{bases[-1]}/livez", more={"GATEWAY_PORT": port})
    with Redis.from_url(service.url) as store:
        limit = f"{_FITS * books.PRICE}|hard"
        store.hset("{gw}:tenant:acme:settings", "budget_month", limit)

    def post(number: int) -> tuple[int, dict[str, Any]]:
        base = bases[number % len(bases)]
        status, answer, _ = call("POST", f"{base}/v1/jobs", service.key, ORDER, Idempotency_Key=f"k{number}")
        return status, answer

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(post, range(_POSTS)))
    accepted = [answer["id"] for status, answer in answers if status == 202]
    refused = [answer for status, answer in answers if status == 402]
    assert (len(accepted), len(refused)) == (_FITS, _POSTS - _FITS)
    assert {one["budget"] for one in refused} == {"tenant month"}
    listed = call("GET", f"{service.gateway}/v1/jobs?limit=100", service.key)[1]["data"]
    assert {job["id"] for job in listed} == set(accepted)

    def are_final() -> bool:
        jobs = call("GET", f"{service.gateway}/v1/jobs?limit=100", service.key)[1]["data"]
        return all(job["status"] == "completed" for job in jobs)

    eventually(are_final)
    taken = sum(Decimal(fact["charged"]) for fact in service.ledger("post") if fact["charged"])
    async with AsyncRedis.from_url(service.url, decode_responses=True) as store:
        await books.check(store)
        found = await books.amounts(store)
    assert found == {"charged": to_micros(to_text(_FITS * books.PRICE))}
    assert taken == Decimal(_FITS * books.PRICE) / 1_000_000
