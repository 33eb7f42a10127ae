"""An event says what the job cost, although its bytes are made before the store charges it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.jobs import Job
from gateway.upstream.base import Accepted, Found, Rejected, UpstreamError
from gateway.views.job import public
from tests.books import PRICED
from tests.gateway.store.conftest import stored_body
from tests.workers.conftest import Rig
from tests.workers.scripted import working
from tests.workers.test_money import failed, made, sent_again

HOOK = "https://client.example.com/hook"


async def told(rig: Rig, job: Job) -> list[dict[str, Any]]:
    """The cost in each event of the job, oldest first."""
    bodies = [await stored_body(rig.redis, one.event_id) for one in await rig.deliveries(job)]
    return [orjson.loads(body or "")["data"]["cost"] for body in bodies]


@pytest.mark.parametrize("snapshot", [made("task_1"), made("task_1", None), failed()])
async def test_the_event_of_a_finished_job_has_its_cost(rig: Rig, snapshot: Any) -> None:
    job = await rig.submitted(**PRICED, callback_url=HOOK)
    after = await rig.confirm(job, Found(snapshot))
    assert await told(rig, after) == [public(after, client_url="")["cost"]]


async def test_the_event_of_a_job_that_cost_nothing_has_nothing_reserved(rig: Rig) -> None:
    job = await rig.accept(**PRICED, callback_url=HOOK)
    after = await rig.submit(job, Rejected(UpstreamError("content", "no")))
    [cost] = await told(rig, after)
    assert cost == public(after, client_url="")["cost"]
    assert (cost["reserved"], cost["charged"]) == ("0.0000", None)


async def test_the_event_of_a_job_with_two_tasks_has_the_cost_of_both(rig: Rig) -> None:
    job = await rig.submit(await sent_again(rig, callback_url=HOOK), Accepted("task_2"))
    await rig.callback(job, "task_1")
    rig.nobody_gainsays()
    job = await rig.read(job)
    after = await rig.confirm(job, Found(made("task_2", "0.2000")), Found(made("task_1", "0.3000")))
    [cost] = await told(rig, after)
    assert (cost["charged"], cost["basis"]) == ("0.5000", "upstream")
    assert cost == public(after, client_url="")["cost"]


async def test_the_event_of_a_late_result_has_its_cost(rig: Rig) -> None:
    job = await rig.submitted(**PRICED, callback_url=HOOK)
    rig.clock.ahead = 7300
    await rig.confirm(job, Found(working()))
    after = await rig.confirm(job, Found(made("task_1", "0.2000")))
    first, late = await told(rig, after)
    assert (first["charged"], late["charged"]) == (None, "0.2000")
    assert late == public(after, client_url="")["cost"]
