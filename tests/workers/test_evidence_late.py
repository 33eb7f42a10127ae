"""What comes to light of a submission after the job was sent again."""

from __future__ import annotations

import pytest

from gateway.dispatch import Role
from gateway.jobs import submit_ticket
from gateway.lifecycle import JobState, OnUnknown
from gateway.store.base import CallbackOutcome
from gateway.upstream.base import (
    Accepted,
    Found,
    Rejected,
    UpstreamError,
)
from tests.workers.conftest import Rig
from tests.workers.scripted import completed
from tests.workers.test_evidence import AFTER_GRACE, unknown


@pytest.fixture
async def open_way(rig: Rig) -> None:
    await rig.callbacks_can_come()


@pytest.mark.usefixtures("open_way")
async def test_a_callback_of_the_first_submission_saves_the_second_payment(rig: Rig) -> None:
    job = await unknown(rig, on_unknown=OnUnknown.RESUBMIT)
    rig.clock.ahead = AFTER_GRACE
    await rig.confirm(job)
    assert await rig.callback(job, "task_1") is CallbackOutcome.MOVED
    await rig.submitter.submit(await rig.ticket(Role.SUBMIT, job.id))
    assert len(rig.upstream.begun) == 1
    after = await rig.confirm(job, Found(completed()))
    assert (after.state, after.epoch) == (JobState.COMPLETED, 1)
    assert await rig.lease(job) is None


@pytest.mark.usefixtures("open_way")
async def test_a_callback_of_the_first_submission_holds_back_the_last_byte_of_the_second(rig: Rig) -> None:
    job = await unknown(rig, on_unknown=OnUnknown.RESUBMIT)
    rig.clock.ahead = AFTER_GRACE
    await rig.confirm(job)

    async def call_back() -> None:
        await rig.callback(job, "task_1", epoch=1)

    rig.upstream.before_gate = call_back
    after = await rig.submit(job, Accepted("never"))
    assert len(rig.upstream.released) == 1
    assert (after.state, after.task_id) == (JobState.SUBMITTED, "task_1")
    assert await rig.lease(job) == float("inf")


@pytest.mark.usefixtures("open_way")
async def test_a_renewal_after_a_callback_gave_the_job_a_task_does_not_end_its_slot(rig: Rig) -> None:
    job = await rig.accept()
    ticket = await rig.ticket(Role.SUBMIT, job.id)

    async def call_back() -> None:
        await rig.callback(job, "task_1")
        assert await rig.resources.jobs.renew(ticket)

    rig.upstream.before_gate = call_back
    await rig.submitter.submit(ticket)
    assert await rig.lease(job) == float("inf")


@pytest.mark.usefixtures("open_way")
async def test_an_answer_that_comes_after_it_was_sent_again_is_a_task_of_the_job_all_the_same(
    rig: Rig,
) -> None:
    job = await rig.accept(on_unknown=OnUnknown.RESUBMIT)

    async def be_sent_again() -> None:
        rig.upstream.after_gate = rig.upstream.before_gate
        await rig.let_lease_run_out(Role.SUBMIT, submit_ticket(job))
        await rig.sweep()
        rig.clock.ahead = AFTER_GRACE
        await rig.confirm(job)
        rig.upstream.outcomes.appendleft(Accepted("task_2"))
        await rig.submitter.submit(await rig.ticket(Role.SUBMIT, job.id))

    rig.upstream.after_gate = be_sent_again
    after = await rig.submit(job, Accepted("task_1"))
    assert after.epoch == 2
    assert {after.task_id, *after.earlier} == {"task_1", "task_2"}
    assert after.state is JobState.SUBMITTED


@pytest.mark.usefixtures("open_way")
async def test_a_result_of_the_first_submission_is_published_although_the_second_was_rejected(
    rig: Rig,
) -> None:
    job = await unknown(rig, on_unknown=OnUnknown.RESUBMIT)
    rig.clock.ahead = AFTER_GRACE
    await rig.confirm(job)
    failed = await rig.submit(job, Rejected(UpstreamError("bad", "bad")))
    assert failed.state is JobState.FAILED
    assert await rig.callback(job, "task_1", epoch=1) is CallbackOutcome.EARLIER
    after = await rig.confirm(job, Found(completed()))
    assert (after.state, after.late is not None) == (JobState.FAILED, True)
