"""An unknown job: how long it waits for evidence, and what its owner's policy does then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.dispatch import Role
from gateway.jobs import Job, Spend, confirm_ticket
from gateway.lifecycle import JobState, OnUnknown
from gateway.resolution import resubmission
from gateway.store import keys
from gateway.store.base import CallbackOutcome
from gateway.upstream.base import (
    Accepted,
    Found,
    Unknown,
)
from tests.workers.conftest import Rig
from tests.workers.scripted import completed

AFTER_GRACE = 1900


def under(rig: Rig, **changes: Any) -> Rig:
    """The same workers under other settings."""
    settings = rig.confirmer.settings.model_copy(update=changes)
    parts: dict[str, Any] = {
        name: replace(part, settings=settings)
        for name, part in (("submitter", rig.submitter), ("confirmer", rig.confirmer))
    }
    return replace(rig, **parts, sweeper=replace(rig.sweeper, settings=settings))


async def unknown(rig: Rig, **fields: Any) -> Job:
    return await rig.submit(await rig.accept(**fields), Unknown("reset"))


async def due_in(rig: Rig, job: Job) -> float:
    seconds = await rig.due_in(Role.CONFIRM, confirm_ticket(job))
    assert seconds is not None
    return seconds


def code(job: Job) -> str | None:
    return job.error["code"] if job.error else None


@pytest.fixture
async def open_way(rig: Rig) -> None:
    await rig.callbacks_can_come()


# -- the grace window


@pytest.mark.parametrize("policy", list(OnUnknown))
async def test_while_callbacks_cannot_come_the_window_does_not_end(rig: Rig, policy: OnUnknown) -> None:
    job = await unknown(rig, on_unknown=policy)
    rig.clock.ahead = 5000
    assert (await rig.confirm(job)).state is JobState.UNKNOWN
    assert await due_in(rig, job) == pytest.approx(30, abs=5)


async def test_a_gap_begins_the_window_again(rig: Rig) -> None:
    job = await unknown(rig)
    await (
        rig.resources.jobs.note_callback_path()
    )  # the way is open since now, and the job is unknown since before
    await rig.redis.hset(keys.job(job.id), "unknown_at", "1000")  # type: ignore[misc]
    assert (await rig.confirm(job)).state is JobState.UNKNOWN
    assert await due_in(rig, job) == pytest.approx(1800, abs=5)


async def test_a_way_that_was_last_proven_too_long_ago_counts_as_shut(rig: Rig) -> None:
    job = await unknown(rig)
    seconds, _ = await rig.redis.time()
    path = {"since": (seconds - 9000) * 1000, "last": (seconds - 120) * 1000}
    await rig.redis.hset(keys.CALLBACK_PATH, mapping=path)  # type: ignore[misc]
    rig.clock.ahead = AFTER_GRACE
    assert (await rig.confirm(job)).state is JobState.UNKNOWN


async def test_without_callbacks_silence_alone_ends_the_window(rig: Rig) -> None:
    rig = under(rig, public_url="")
    job = await unknown(rig)
    rig.clock.ahead = AFTER_GRACE
    assert code(await rig.confirm(job)) == "submission_unknown"


@pytest.mark.usefixtures("open_way")
async def test_an_off_peak_job_has_as_long_as_its_task_may_take(rig: Rig) -> None:
    job = await unknown(rig, params={"prompt": "a fox", "images": [], "off_peak": True})
    rig.clock.ahead = 179_000
    assert (await rig.confirm(job)).state is JobState.UNKNOWN
    rig.clock.ahead = 181_000
    assert code(await rig.confirm(job)) == "submission_unknown"


# -- the policies


@pytest.mark.usefixtures("open_way")
@pytest.mark.parametrize("chosen", ["by the job", "by the tenant", "by the service"])
async def test_resubmit_sends_it_again_whoever_chose_that(rig: Rig, chosen: str) -> None:
    fields = {"on_unknown": OnUnknown.RESUBMIT} if chosen == "by the job" else {}
    if chosen == "by the tenant":
        await rig.redis.hset(keys.tenant_settings("acme"), "on_unknown", "resubmit")  # type: ignore[misc]
    if chosen == "by the service":
        rig = under(rig, on_unknown=OnUnknown.RESUBMIT)
    job = await unknown(rig, **fields)
    rig.clock.ahead = AFTER_GRACE
    after = await rig.confirm(job)
    assert (after.state, after.resubmits, after.spend) == (JobState.QUEUED, 1, Spend.POSSIBLE)
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) is None
    again = await rig.submit(job, Accepted("task_2"))
    assert (again.state, again.epoch, again.task_id) == (JobState.SUBMITTED, 2, "task_2")
    assert (await rig.tally())["resubmissions|policy"] == "1"


@pytest.mark.usefixtures("open_way")
async def test_the_job_s_own_choice_outranks_the_tenant_s(rig: Rig) -> None:
    await rig.redis.hset(keys.tenant_settings("acme"), "on_unknown", "resubmit")  # type: ignore[misc]
    job = await unknown(rig, on_unknown=OnUnknown.HOLD)
    rig.clock.ahead = AFTER_GRACE
    after = await rig.confirm(job)
    assert (after.state, code(after), after.spend) == (
        JobState.FAILED,
        "submission_unknown",
        Spend.POSSIBLE,
    )


@pytest.mark.usefixtures("open_way")
async def test_manual_waits_for_an_operator(rig: Rig) -> None:
    job = await unknown(rig, on_unknown=OnUnknown.MANUAL)
    rig.clock.ahead = AFTER_GRACE
    assert (await rig.confirm(job)).state is JobState.UNKNOWN
    assert await due_in(rig, job) == pytest.approx(3600, abs=5)
    assert await rig.lease(job) is None  # jobs behind it must not wait for the operator
    assert await rig.callback(job, "task_1") is CallbackOutcome.MOVED
    assert await rig.lease(job) == float("inf")


@pytest.mark.usefixtures("open_way")
async def test_a_job_is_sent_again_no_more_often_than_it_may_be(rig: Rig) -> None:
    job = await unknown(rig, on_unknown=OnUnknown.RESUBMIT)
    rig.clock.ahead = AFTER_GRACE
    await rig.confirm(job)
    await rig.submit(job, Unknown("reset"))
    rig.clock.ahead = 2 * AFTER_GRACE
    after = await rig.confirm(job)
    assert (after.state, code(after), after.epoch) == (JobState.FAILED, "submission_unknown", 2)
    assert len(rig.upstream.released) == 2


@pytest.mark.usefixtures("open_way")
async def test_a_tenant_s_budget_of_the_day_is_spent_once_and_others_have_their_own(rig: Rig) -> None:
    rig = under(rig, resubmit_day_budget=1, upstream_slots=4)
    states = []
    for tenant in ("acme", "acme", "zeta"):
        job = await unknown(rig, tenant=tenant, on_unknown=OnUnknown.RESUBMIT)
        rig.clock.ahead += AFTER_GRACE
        states.append((await rig.confirm(job)).state)
        rig.clock.ahead = 0
        if states[-1] is JobState.QUEUED:
            done = await rig.submit(job, Accepted(f"task_{len(states)}"))
            await rig.confirm(done, Found(completed(task_id=done.task_id)))
    assert states == [JobState.QUEUED, JobState.FAILED, JobState.QUEUED]


@pytest.mark.usefixtures("open_way")
async def test_the_budget_of_another_day_is_forgotten(rig: Rig) -> None:
    rig = under(rig, resubmit_day_budget=1)
    spent = "{gw}:tenant:acme:resubmits"
    await rig.redis.hset(spent, "2020-01-01", "1")  # type: ignore[misc]
    job = await unknown(rig, on_unknown=OnUnknown.RESUBMIT)
    rig.clock.ahead = AFTER_GRACE
    assert (await rig.confirm(job)).state is JobState.QUEUED
    day = datetime.fromtimestamp(rig.clock(), UTC).date().isoformat()
    assert await rig.redis.hgetall(spent) == {day: "1"}  # type: ignore[misc]


@pytest.mark.usefixtures("open_way")
async def test_evidence_forbids_to_send_it_again(rig: Rig) -> None:
    job = await unknown(rig, on_unknown=OnUnknown.RESUBMIT)
    await rig.callback(job, None)
    rig.clock.ahead = AFTER_GRACE
    after = await rig.confirm(job)
    assert (after.state, after.spend) == (JobState.FAILED, Spend.CERTAIN)
    assert after.error is not None
    assert "never named a task" in after.error["error_message"]


@pytest.mark.usefixtures("open_way")
async def test_evidence_that_comes_just_before_it_is_sent_again_fences_that(rig: Rig) -> None:
    job = await unknown(rig, on_unknown=OnUnknown.RESUBMIT)
    rig.clock.ahead = AFTER_GRACE
    stale = await rig.read(job)
    await rig.callback(job, None)
    answer = await rig.resources.jobs.apply(
        stale, resubmission(stale, rig.resources.environment, day_budget=5)
    )
    assert answer.outcome == "fenced"
    assert await rig.redis.hgetall("{gw}:tenant:acme:resubmits") == {}  # type: ignore[misc]


@pytest.mark.usefixtures("open_way")
async def test_a_job_whose_owner_wants_it_canceled_is_not_sent_again(rig: Rig) -> None:
    job = await unknown(rig, on_unknown=OnUnknown.RESUBMIT)
    await rig.redis.hset(keys.job(job.id), "cancel_wished_at", "1000")  # type: ignore[misc]
    rig.clock.ahead = AFTER_GRACE
    assert (await rig.confirm(job)).state is JobState.FAILED
    assert len(rig.upstream.begun) == 1
