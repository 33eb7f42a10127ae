"""A job whose outcome is unknown, as an operator sees it and decides on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from starlette.applications import Starlette

from gateway.callbacks import tokens
from gateway.dispatch import Role, Ticket
from gateway.jobs import Job
from gateway.lifecycle import JobEvent
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.base import TransitionResult
from gateway.store.effects import BindTask, HoldSlot, PollAfter
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Transition
from gateway.tenants import Scope
from gateway.web.schemas import ops
from tests.gateway.web.conftest import BODY, MakeKey, connected
from tests.gateway.web.ops.test_jobs import ops_events
from tests.gateway.web.parsing import parsed

MakeUnknown = Callable[[], Awaitable[Job]]


@pytest.fixture
async def operator(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    """Of a tenant that owns no job."""
    async with connected(app, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])) as opened:
        yield opened


@pytest.fixture
def make_unknown(client: httpx.AsyncClient, resources: Resources) -> MakeUnknown:
    """A job of acme's that was sent, and of which no outcome came back."""

    async def make() -> Job:
        name = (await client.post("/v1/jobs", json=BODY)).json()["id"]
        number = await resources.redis.hget("{gw}:submit:holders", f"acme|{name}")  # type: ignore[misc]
        job = await resources.jobs.claim(Ticket(Role.SUBMIT, "acme", name, int(number or 0)), "run-1")
        assert job is not None
        assert await resources.jobs.release(job)
        await resources.jobs.apply(
            job, Transition(JobEvent.OUTCOME_LOST, effects=[HoldSlot(), PollAfter(600_000)])
        )
        found = await resources.jobs.read(name)
        assert found is not None
        return found

    return make


async def test_an_operator_sees_the_job_of_any_tenant_and_its_whole_history(
    operator: httpx.AsyncClient, make_unknown: MakeUnknown
) -> None:
    job = await make_unknown()
    answer = await operator.get(f"/ops/api/jobs/{job.id}")
    found = parsed(ops.JobWithHistory, answer.content)
    seen = [found["job"][name] for name in ("id", "tenant", "phase", "epoch", "spend")]
    assert seen == [job.id, "acme", "unknown", 1, "possible"]
    assert found["job"]["released_at"] is not None
    assert [entry["event"] for entry in found["audit"]][-3:] == ["claimed", "released", "outcome_lost"]
    assert found["audit"][-1] | {"at": ""} == {
        "at": "",
        "event": "outcome_lost",
        "from": "submitting",
        "to": "unknown",
        "epoch": 1,
    }


async def test_a_callback_that_cannot_be_read_is_shown_as_it_came(
    operator: httpx.AsyncClient, resources: Resources, make_unknown: MakeUnknown
) -> None:
    job = await make_unknown()
    token = tokens.make(resources.keyring, "acme", job.id, 1)
    assert (await operator.post(f"/callbacks/{token}", content=b"\xff{not json")).status_code == 200
    answer = await operator.get("/ops/api/quarantine")
    parsed(ops.QuarantineList, answer.content)
    [entry] = answer.json()["data"]
    assert (entry["job"], entry["tenant"], entry["epoch"]) == (job.id, "acme", 1)
    assert entry["raw"] == "\\xff{not json"
    assert token not in answer.text


async def test_a_task_found_by_hand_is_bound_and_polled(
    operator: httpx.AsyncClient, resources: Resources, make_unknown: MakeUnknown
) -> None:
    job = await make_unknown()
    answer = await operator.post(
        f"/ops/api/jobs/{job.id}/resolve", json={"action": "bind", "task_id": "task-7"}
    )
    assert answer.status_code == 200
    found = answer.json()["job"]
    assert (found["phase"], found["task_id"], found["spend"]) == ("submitted", "task-7", "certain")
    assert (
        answer.json()["audit"][-1]["by"] == (await operator.get("/ops/api/events")).json()["data"][-1]["by"]
    )
    assert await resources.redis.zscore(keys.slots(Role.CONFIRM), f"main|{job.id}") is not None
    assert await ops_events(operator) == [("job_resolved", "bind")]


async def test_the_task_of_another_job_is_not_bound(
    operator: httpx.AsyncClient, make_unknown: MakeUnknown
) -> None:
    first, second = await make_unknown(), await make_unknown()
    wanted = {"action": "bind", "task_id": "task-7"}
    assert (await operator.post(f"/ops/api/jobs/{first.id}/resolve", json=wanted)).status_code == 200
    answer = await operator.post(f"/ops/api/jobs/{second.id}/resolve", json=wanted)
    assert answer.status_code == 409
    assert first.id in answer.json()["detail"]
    assert (await operator.get(f"/ops/api/jobs/{second.id}")).json()["job"]["phase"] == "unknown"


async def test_a_job_is_sent_again_when_an_operator_says_so(
    operator: httpx.AsyncClient, make_unknown: MakeUnknown
) -> None:
    job = await make_unknown()
    answer = await operator.post(f"/ops/api/jobs/{job.id}/resolve", json={"action": "resubmit"})
    assert answer.status_code == 200
    found = answer.json()["job"]
    assert (found["phase"], found["resubmissions"], found["spend"]) == ("queued", 1, "possible")
    assert await ops_events(operator) == [("job_resolved", "resubmit")]


async def test_a_job_that_the_upstream_accepted_is_not_sent_again(
    operator: httpx.AsyncClient, resources: Resources, make_unknown: MakeUnknown
) -> None:
    job = await make_unknown()
    await resources.redis.hset(keys.job(job.id), "evidence", "callback")  # type: ignore[misc]
    answer = await operator.post(f"/ops/api/jobs/{job.id}/resolve", json={"action": "resubmit"})
    assert answer.status_code == 409
    assert "accepted" in answer.json()["detail"]
    assert await ops_events(operator) == []


async def test_a_job_that_is_failed_by_hand_says_that_it_may_have_been_charged(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, make_unknown: MakeUnknown
) -> None:
    job = await make_unknown()
    answer = await operator.post(f"/ops/api/jobs/{job.id}/resolve", json={"action": "fail"})
    assert answer.status_code == 200
    found = (await client.get(f"/v1/jobs/{job.id}")).json()
    assert (found["status"], found["error"]["code"]) == ("failed", "submission_unknown")
    state = (await operator.get("/ops/api/state")).json()
    assert (state["unknown"], state["counts"]["job:unknown"]) == (0, 0)
    assert set(state["roles"]["submit"].values()) == set(state["roles"]["confirm"].values()) == {0}


@pytest.mark.parametrize("wanted", [{"action": "fail"}, {"action": "bind", "task_id": "t"}])
async def test_only_an_unknown_job_can_be_resolved(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, wanted: dict[str, str]
) -> None:
    name = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    answer = await operator.post(f"/ops/api/jobs/{name}/resolve", json=wanted)
    assert answer.status_code == 409
    assert "the job is queued" in answer.json()["detail"]
    assert await ops_events(operator) == []


async def test_a_job_that_changes_meanwhile_is_left_as_it_is_and_nothing_is_audited(
    operator: httpx.AsyncClient,
    make_unknown: MakeUnknown,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = await make_unknown()
    apply = RedisJobStore.apply

    async def apply_late(store: RedisJobStore, found: Job, transition: Transition) -> TransitionResult:
        if transition.event is JobEvent.RESUBMIT_CHOSEN:
            bound = Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("t"), HoldSlot()])
            await apply(store, found, bound)
        return await apply(store, found, transition)

    monkeypatch.setattr(RedisJobStore, "apply", apply_late)
    answer = await operator.post(f"/ops/api/jobs/{job.id}/resolve", json={"action": "resubmit"})
    assert answer.status_code == 409
    assert "changed in the meantime" in answer.json()["detail"]
    assert (await operator.get(f"/ops/api/jobs/{job.id}")).json()["job"]["phase"] == "submitted"
    assert await ops_events(operator) == []
