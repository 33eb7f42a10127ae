"""The whole service at a glance."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.dispatch import Role
from gateway.environment import Environment
from gateway.store import keys
from gateway.tenants import Scope
from gateway.web.schemas import overview
from gateway.web.state import State
from tests.gateway.web.conftest import BODY, MakeKey, connected
from tests.gateway.web.ops.test_audit_steps import unknown
from tests.gateway.web.parsing import parsed
from workers.heartbeat import Heartbeat


@pytest.fixture
async def operator(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(app, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])) as opened:
        yield opened


async def read_overview(operator: httpx.AsyncClient) -> Any:
    return parsed(overview.Overview, (await operator.get("/ops/api/overview")).content)


def codes(found: Any) -> list[str]:
    """But for what is always wrong with the server of these tests."""
    return [alarm["code"] for alarm in found["alarms"] if alarm["code"] != "RedisCouldForget"]


async def beat(state: State, heartbeat: Heartbeat) -> None:
    await state.resources.workers.beat(heartbeat.id, heartbeat._fields | {"running": heartbeat._running()})


async def test_depth_slots_and_counts_are_there_and_what_is_wrong(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, state: State
) -> None:
    assert codes(await read_overview(operator)) == ["NoWorker"]
    await beat(state, Heartbeat(state.resources.workers, list(Role), Environment(), lambda: 0))
    assert codes(await read_overview(operator)) == []
    await state.resources.lanes.note_sweep()
    await state.resources.jobs.note_callback_path()
    for _ in range(8):
        await client.post("/v1/jobs", json=BODY)
    found = await read_overview(operator)
    assert codes(found) == []
    submit = found["roles"]["submit"]
    assert (submit["waiting"], submit["slots_in_use"], submit["slots"]) == (3, 5, 5)
    assert (found["jobs"]["queued"], found["workers"], found["paused"]) == (8, 1, False)
    await operator.post("/ops/api/accounts/main/pause", json={"reason": "the invoice"})
    await operator.post("/ops/api/pause", json={"reason": "a while"})
    assert codes(await read_overview(operator)) == ["AccountParked", "ServicePaused"]


async def test_unknown_outcomes_that_hold_the_slots_and_what_the_upstream_cut_are_alarms(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, state: State
) -> None:
    resources = state.resources
    await beat(state, Heartbeat(resources.workers, list(Role), Environment(), lambda: 0))
    for _ in range(2):
        await unknown(client, resources)
    await client.post("/v1/jobs", json=BODY)
    assert codes(await read_overview(operator)) == []
    await unknown(client, resources)
    assert codes(await read_overview(operator)) == ["UnknownsHoldSlots"]
    seconds, _ = await resources.redis.time()
    cut = {"slots": 1, "cut_at": seconds * 1000, "hold_until": (seconds + 60) * 1000}
    await resources.redis.hset(keys.account("main"), mapping=cut)  # type: ignore[misc]
    found = [one for one in (await read_overview(operator))["alarms"] if one["code"] != "RedisCouldForget"]
    assert [(alarm["code"], alarm["fault"], alarm["page"]) for alarm in found] == [
        ("UnknownsHoldSlots", "upstream", "/ops/jobs"),
        ("AccountHeld", "upstream", "/ops/upstream"),
        ("SlotsCut", "upstream", "/ops/upstream"),
    ]


async def test_worker_processes_are_known_until_they_leave_or_fall_silent(
    operator: httpx.AsyncClient, state: State
) -> None:
    workers, environment = state.resources.workers, Environment()
    one = Heartbeat(workers, [Role.SUBMIT, Role.DELIVER], environment, lambda: 3)
    other = Heartbeat(workers, list(Role), environment, lambda: 0)
    for heartbeat in (one, other):
        await beat(state, heartbeat)
    listed = parsed(overview.WorkerList, (await operator.get("/ops/api/workers")).content)
    assert {(tuple(worker["roles"]), worker["running"]) for worker in listed["data"]} == {
        (("submit", "deliver"), 3),
        (("submit", "confirm", "deliver", "mirror"), 0),
    }
    assert (await read_overview(operator))["workers"] == 2
    await other.end()
    assert (await read_overview(operator))["workers"] == 1
    redis = state.resources.redis
    await redis.zincrby(keys.WORKERS, -20_000, one.id)
    assert (await read_overview(operator))["workers"] == 0
    assert len((await operator.get("/ops/api/workers")).json()["data"]) == 1
    await redis.zincrby(keys.WORKERS, -60_000, one.id)
    await workers.leave("nobody")
    assert await redis.exists(keys.worker(one.id)) == 0
