"""The list of jobs: its filters, its order, and what it reads for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from gateway.jobs import Job, first_id_at, rfc3339
from gateway.lifecycle import JobState
from gateway.resources import Resources
from gateway.store.base import AdmissionLimits
from tests.gateway.store.conftest import new_job
from tests.gateway.web.api.test_jobs import complete

DAY = 1_795_350_000_000
DIGITS = "0000000000000000"


async def job_at(resources: Resources, at: int, tenant: str = "acme") -> Job:
    job = new_job(tenant, id=first_id_at(at) + DIGITS, created_at=at)
    await resources.jobs.accept(job, None, "f", AdmissionLimits(queue_max=100))
    return job


@pytest.fixture
async def made(resources: Resources, client: httpx.AsyncClient) -> list[str]:
    """Five jobs, a second apart, and one of another tenant."""
    await job_at(resources, DAY + 500, "other")
    return [(await job_at(resources, DAY + 1000 * number)).id for number in range(5)]


async def ids(client: httpx.AsyncClient, **query: str | int) -> list[str]:
    answer = await client.get(f"/v1/jobs?{urlencode(query)}")
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["data"]]


async def test_a_range_of_time_has_neither_of_its_ends(client: httpx.AsyncClient, made: list[str]) -> None:
    assert await ids(client, created_after=rfc3339(DAY + 1000)) == made[:1:-1]
    assert await ids(client, created_before=rfc3339(DAY + 1000)) == made[:1]
    both = {"created_after": rfc3339(DAY), "created_before": rfc3339(DAY + 3000)}
    assert await ids(client, **both) == [made[2], made[1]]
    assert await ids(client, created_after=rfc3339(DAY + 4000)) == []
    assert await ids(client, created_after=rfc3339(DAY + 999)) == made[:0:-1]
    assert await ids(client, created_before=rfc3339(DAY + 1001)) == [made[1], made[0]]


async def test_a_time_may_have_any_zone_and_parts_of_a_millisecond(
    client: httpx.AsyncClient, made: list[str]
) -> None:
    at = datetime.fromtimestamp(DAY / 1000 + 1, UTC)
    there = at.astimezone(timezone(timedelta(hours=-7))).isoformat()
    assert await ids(client, created_after=there) == made[:1:-1]
    # 999.5 ms is before the job of 1000 ms, and after one of 999 ms
    close = (at - timedelta(microseconds=500)).isoformat()
    assert await ids(client, created_after=close) == made[:0:-1]
    assert await ids(client, created_before=close) == made[:1]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_of_either_order_meet_without_gap_within_the_filters(
    client: httpx.AsyncClient, made: list[str], order: str
) -> None:
    query = {"limit": 1, "order": order, "created_after": rfc3339(DAY), "status": "queued,failed"}
    path: str | None = f"/v1/jobs?{urlencode(query)}"
    seen: list[str] = []
    while path:
        document = (await client.get(path)).json()
        seen += [job["id"] for job in document["data"]]
        path = document["next"]
    assert seen == (made[1:] if order == "asc" else made[:0:-1])


@pytest.mark.parametrize("given", ["status=completed,canceled", "status=completed&status=canceled"])
async def test_several_statuses_are_separated_by_commas_or_repeated(
    client: httpx.AsyncClient, resources: Resources, made: list[str], given: str
) -> None:
    await complete(resources, made[0])
    assert (await client.post(f"/v1/jobs/{made[3]}/cancel")).status_code == 200
    answer = (await client.get(f"/v1/jobs?limit=1&{given}")).json()
    assert [job["id"] for job in answer["data"]] == [made[3]]
    assert [job["id"] for job in (await client.get(answer["next"])).json()["data"]] == [made[0]]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("status=done", "status"),
        ("status=queued,", "status"),
        ("order=up", "order"),
        ("created_after=yesterday", "created_after"),
        ("created_after=2026-12-01T08:00:00", "created_after"),
        ("created_before=2026-12-01T08:00:00+01:00", "created_before"),
        ("created_before=1", "created_before"),
        ("created_after=2026-12-01T08:00:00Z&created_after=2026-12-01T08:00:00Z", "created_after"),
    ],
)
async def test_a_wrong_filter_is_named(client: httpx.AsyncClient, query: str, name: str) -> None:
    answer = await client.get(f"/v1/jobs?{query}")
    assert answer.status_code == 400
    assert [fault["param"] for fault in answer.json()["errors"]] == [name]


async def test_a_far_time_is_no_error(client: httpx.AsyncClient, made: list[str]) -> None:
    assert await ids(client, created_after="0001-01-01T00:00:00Z") == made[::-1]
    assert await ids(client, created_before="9999-12-31T23:59:59Z") == made[::-1]


async def test_a_page_reads_no_more_than_it_shows(
    client: httpx.AsyncClient, resources: Resources, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the filters are: of each state one id more than a page has, by its index."""
    asked: list[tuple[object, ...]] = []
    execute = type(resources.redis.pipeline()).execute_command

    def noted(pipe: Any, *command: Any, **more: Any) -> object:
        asked.append(command)
        return execute(pipe, *command, **more)

    monkeypatch.setattr(type(resources.redis.pipeline()), "execute_command", noted)
    page = await resources.jobs.page("acme", list(JobState), made[2], 1, oldest_first=True)
    assert [job.id for job in page.jobs] == [made[3]]
    assert {command[0] for command in asked} == {"ZRANGEBYLEX", "HGETALL"}
    assert all(command[-1] == 2 for command in asked if command[0] == "ZRANGEBYLEX")
    assert len(asked) == len(JobState) + 1


async def test_a_new_job_is_found_by_its_own_time(client: httpx.AsyncClient, resources: Resources) -> None:
    """Its id, which orders lists, has the same millisecond."""
    body = {"model": "viduq2_pro_reference", "images": ["https://cdn.example.com/a.png"], "prompt": "a"}
    job = (await client.post("/v1/jobs", json=body)).json()
    assert await ids(client, created_after=job["created_at"]) == []
    assert await ids(client, created_before=job["created_at"]) == []
