"""Who did what, when, and by which request: shown, exported, and forgotten in the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from pydantic import TypeAdapter
from starlette.applications import Starlette

from gateway.jobs import confirm_ticket, submit_ticket
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.operator_audit import BATCH
from gateway.store.retention import RedisRetention
from gateway.tenants import Scope
from gateway.web.schemas import ops
from gateway.web.state import State
from tests.gateway.web.conftest import BODY, MakeKey, connected
from tests.gateway.web.ops.test_queues import make_dead_letter
from tests.gateway.web.parsing import parsed


@pytest.fixture
async def operator(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(app, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])) as opened:
        yield opened


async def noted(state: State, act: str = "tried", **fields: str) -> None:
    """As a script writes it."""
    entry: dict[Any, Any] = {"act": act, "by": "key1", **fields}
    await state.resources.redis.xadd(keys.AUDIT, entry)


def lines(answer: httpx.Response) -> list[dict[str, str]]:
    return [orjson.loads(line) for line in answer.content.splitlines()]


async def end(client: httpx.AsyncClient, resources: Resources) -> str:
    posted = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    job = await resources.jobs.read(posted)
    assert job
    await resources.settlement.cancel(job, [submit_ticket(job), confirm_ticket(job)])
    return str(posted)


AUDITED = [
    ("/ops/api/pause", {"reason": "x"}, "service_paused"),
    ("/ops/api/resume", None, "service_resumed"),
    ("/ops/api/accounts/main/pause", {"reason": "x"}, "account_parked"),
    ("/ops/api/accounts/main/resume", None, "account_resumed"),
    ("/ops/api/tenants", {"tenant": "bare"}, "tenant_created"),
    ("/ops/api/tenants", {"tenant": "acme", "weight": 3}, "tenant_changed"),
    ("/ops/api/tenants/acme/pause", {"reason": "x"}, "tenant_paused"),
    ("/ops/api/tenants/acme/resume", None, "tenant_resumed"),
    ("/ops/api/tenants/acme/keys", {"name": "a service"}, "key_made"),
    ("/ops/api/subscribers/pause", {"subscriber": f"url-{'0' * 20}", "reason": "x"}, "subscriber_parked"),
    ("/ops/api/subscribers/resume", {"all": True}, "subscribers_resumed"),
    ("/ops/api/dead-letters/redeliver", {"number": 1}, "deliveries_sent_again"),
]


async def test_every_action_is_audited_with_who_did_it_and_by_which_request(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, state: State
) -> None:
    await make_dead_letter(client, state.resources)
    by = operator.headers["authorization"].split("_")[1]
    for at, (path, body, _) in enumerate(AUDITED):
        done = await operator.post(path, json=body, headers={"X-Request-Id": f"night-{at}"})
        assert done.is_success, done.text
    answer = await operator.get("/ops/api/audit")
    found = parsed(ops.AuditList, answer.content)["data"][::-1]
    assert [(entry["act"], entry["by"], entry["request"]) for entry in found] == [
        (name, by, f"night-{at}") for at, (_, _, name) in enumerate(AUDITED)
    ]


async def test_what_changed_nothing_is_no_audit_entry(operator: httpx.AsyncClient) -> None:
    for _ in range(2):
        await operator.post("/ops/api/pause", json={"reason": "x"})
    await operator.post("/ops/api/accounts/main/resume")
    await operator.post("/ops/api/subscribers/resume", json={"all": True})
    await operator.post("/ops/api/dead-letters/redeliver", json={"number": 1})
    assert [act["act"] for act in (await operator.get("/ops/api/audit")).json()["data"]] == ["service_paused"]


async def test_audit_entries_are_read_page_by_page(operator: httpx.AsyncClient, state: State) -> None:
    for at in range(5):
        await noted(state, number=str(at))
    page = (await operator.get("/ops/api/audit?limit=2")).json()
    seen = [act["number"] for act in page["data"]]
    while page["next"]:
        page = (await operator.get(page["next"])).json()
        seen += [act["number"] for act in page["data"]]
    assert seen == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize("before", ["0-0", "00-0", "0-000"])
async def test_nothing_is_before_the_beginning(
    operator: httpx.AsyncClient, state: State, before: str
) -> None:
    await noted(state)
    assert (await operator.get(f"/ops/api/audit?before={before}")).json()["data"] == []
    assert (await state.resources.ops_log.newest_events(before, 10)).rows == []


async def test_audit_entries_of_a_time_are_exported_line_by_line(
    operator: httpx.AsyncClient, state: State
) -> None:
    for at in range(BATCH + 3):
        await noted(state, number=str(at))
    answer = await operator.get("/ops/api/audit.jsonl")
    assert answer.headers["content-type"] == "application/jsonl"
    TypeAdapter(list[ops.AuditEntry]).validate_python(lines(answer))
    assert [line["number"] for line in lines(answer)] == [str(at) for at in range(BATCH + 3)]
    past = await operator.get("/ops/api/audit.jsonl?since=2020-01-01&until=2020-01-02T00:00:00Z")
    assert (past.status_code, past.content) == (200, b"")
    # A day before that there are no time stamps.
    first = await operator.get("/ops/api/audit.jsonl?until=1970-01-01")
    assert (first.status_code, first.content) == (200, b"")


async def test_what_happened_to_jobs_is_exported_too(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, operator: httpx.AsyncClient, state: State
) -> None:
    first, second = await end(client, state.resources), await end(stranger, state.resources)
    found = lines(await operator.get("/ops/api/jobs.jsonl"))
    TypeAdapter(list[ops.JobHistoryLine]).validate_python(found)
    told = [(line["job"], line["tenant"], line["event"]) for line in found]
    assert told == [
        (first, "acme", "accepted"),
        (first, "acme", "cancel_requested"),
        (second, "other", "accepted"),
        (second, "other", "cancel_requested"),
    ]


async def test_an_export_comes_as_bytes_for_who_asks_for_bytes(operator: httpx.AsyncClient) -> None:
    await operator.post("/ops/api/pause", json={"reason": "x"})
    as_lines = await operator.get("/ops/api/audit.jsonl")
    as_bytes = await operator.get("/ops/api/audit.jsonl", headers={"Accept": "application/octet-stream"})
    assert as_bytes.headers["content-type"] == "application/octet-stream"
    assert as_bytes.content == as_lines.content != b""


@pytest.mark.parametrize("crowd", [BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 5])
async def test_no_job_is_left_out_or_exported_twice_however_many_finished_together(
    state: State, crowd: int
) -> None:
    redis, names = state.resources.redis, [f"job_{at:026}" for at in range(crowd)]
    for at, name in enumerate(names):
        await redis.hset(keys.job(name), mapping={"tenant": "acme", "created_at": "1"})  # type: ignore[misc]
        await redis.zadd(keys.FINISHED, {name: 1000 if at % 50 else 1000 + at // 400})
    told = [line["job"] async for batch in state.resources.audit.of_jobs(0, 5000) for line in batch]
    assert sorted(told) == names


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("since=yesterday", "since"),
        ("until=2026-13-01", "until"),
        ("since=2026-02-30", "since"),
        ("since=2026-01-02&until=2026-01-01", "since"),
    ],
)
async def test_a_time_that_is_none_is_refused(operator: httpx.AsyncClient, query: str, param: str) -> None:
    for path in ("audit.jsonl", "jobs.jsonl"):
        refused = await operator.get(f"/ops/api/{path}?{query}")
        assert (refused.status_code, refused.json()["errors"][0]["param"]) == (400, param)


async def test_audit_entries_are_forgotten_after_their_time_and_not_before(state: State) -> None:
    resources = state.resources
    for at in range(300):  # what is trimmed is trimmed by the hundred
        await resources.redis.xadd(keys.AUDIT, {"act": "old", "by": "key1"}, id=f"{at + 1}-1")
    await noted(state, "new")
    await RedisRetention(resources.redis, resources.scripts, 60, audit_days=1).trim_audit()
    left = await resources.audit.page(None, 1000)
    assert left.rows[0]["act"] == "new"
    assert len(left.rows) < 150
    await RedisRetention(resources.redis, resources.scripts, 60, audit_days=40_000).trim_audit()
    assert (await resources.audit.page(None, 1000)).rows[0]["act"] == "new"
