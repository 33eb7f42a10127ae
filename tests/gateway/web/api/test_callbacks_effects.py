"""What callbacks did: counted, and warned of when it should not have happened."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from gateway.callbacks import return_address, tokens
from gateway.callbacks.return_address import ReturnAddress
from gateway.lifecycle import JobState
from gateway.resources import Resources
from gateway.store.base import CallbackOutcome
from gateway.web.state import State
from tests.gateway.web.api.calling_back import COMPLETED, path, state_of, submitting
from tests.gateway.web.conftest import BODY


def strange(logged: list[Any]) -> list[str]:
    """The effects that were warned of."""
    return [entry["reason"] for entry in logged if entry["event"] == "callback_out_of_place"]


async def test_a_callback_of_an_earlier_submission_is_recorded_and_warned_of(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, state: State
) -> None:
    job = await submitting(client, resources)
    with capture_logs() as logged:
        answer = await nobody.post(path(resources, job, epoch=0), json=COMPLETED)
    assert answer.status_code == 200
    assert (strange(logged), state.request_counts.callbacks[CallbackOutcome.EARLIER]) == (["earlier"], 1)
    assert "task-1" in {(await state_of(resources, job)).task_id, *(await state_of(resources, job)).earlier}


async def test_a_callback_for_a_job_that_is_not_there_is_200_and_warned_of(
    nobody: httpx.AsyncClient, resources: Resources, state: State
) -> None:
    token = tokens.make(resources.keyring, "acme", resources.environment.new_job_id(), 1)
    with capture_logs() as logged:
        assert (await nobody.post(f"/callbacks/{token}", json=COMPLETED)).status_code == 200
    assert (strange(logged), state.request_counts.callbacks[CallbackOutcome.ORPHAN]) == (["orphan"], 1)
    assert token not in repr(logged)


async def test_a_job_that_is_rebuilt_from_a_callback_tells_its_callback_url(
    nobody: httpx.AsyncClient, resources: Resources
) -> None:
    lost = resources.environment.new_job_id()
    token = tokens.make(resources.keyring, "acme", lost, 1)
    to = return_address.seal(
        resources.keyring, lost, ReturnAddress("https://client.example.com/hook", "vtrix")
    )
    assert (await nobody.post(f"/callbacks/{token}?to={to}", json=COMPLETED)).status_code == 200
    rebuilt = await resources.jobs.read(lost)
    assert rebuilt
    assert (rebuilt.callback_url, rebuilt.door) == ("https://client.example.com/hook", "vtrix")


@pytest.mark.parametrize("to", ["", "forged", "%00", "a" * 3000])
async def test_a_forged_return_address_is_ignored(
    to: str, nobody: httpx.AsyncClient, resources: Resources
) -> None:
    lost = resources.environment.new_job_id()
    token = tokens.make(resources.keyring, "acme", lost, 1)
    assert (await nobody.post(f"/callbacks/{token}?to={to}", json=COMPLETED)).status_code == 200
    rebuilt = await resources.jobs.read(lost)
    assert rebuilt
    assert rebuilt.callback_url is None


async def test_a_callback_of_a_submission_that_the_record_does_not_know_is_warned_of(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, state: State
) -> None:
    job_id = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    job = await resources.jobs.read(job_id)
    assert job is not None
    with capture_logs() as logged:
        assert (await nobody.post(path(resources, job, epoch=1), json=COMPLETED)).status_code == 200
    assert (strange(logged), state.request_counts.callbacks[CallbackOutcome.AHEAD]) == (["ahead"], 1)
    assert (await state_of(resources, job)).state is not JobState.QUEUED  # it will not be paid for again


async def test_a_callback_that_names_the_task_of_another_job_is_warned_of(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, state: State
) -> None:
    first, second = await submitting(client, resources), await submitting(client, resources)
    await nobody.post(path(resources, first), json=COMPLETED)
    with capture_logs() as logged:
        assert (await nobody.post(path(resources, second), json=COMPLETED)).status_code == 200
    assert (strange(logged), state.request_counts.callbacks[CallbackOutcome.CROSSED]) == (["crossed"], 1)
    assert (await state_of(resources, second)).task_id is None


async def test_what_the_store_did_is_counted_by_effect(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, state: State
) -> None:
    job = await submitting(client, resources)
    with capture_logs() as logged:
        for _ in range(2):
            await nobody.post(path(resources, job), json=COMPLETED)
    await nobody.post("/callbacks/x")
    assert state.request_counts.callbacks == {
        CallbackOutcome.MOVED: 1,
        CallbackOutcome.REPEATED: 1,
        "forged": 1,
    }
    assert logged == []
