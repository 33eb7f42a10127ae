"""Every outcome on a submission, and what the record, the slot, the due times and the tally become."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from gateway.callbacks import return_address, tokens
from gateway.cancellation import cancel
from gateway.dispatch import Role
from gateway.events import EventType
from gateway.jobs import confirm_ticket, submit_ticket
from gateway.lifecycle import JobState, Status
from gateway.store import keys
from gateway.upstream.base import Accepted, AccountRefused, Busy, Rejected, Unknown, UpstreamError
from tests.gateway.store.conftest import dispatched
from tests.workers.conftest import Rig
from tests.workers.scripted import completed, working

NSFW = UpstreamError("content_rejected", "the prompt was refused")


async def test_an_accepted_job_keeps_its_slot_and_is_polled_later(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(), Accepted("task_1", working(0.1)))
    assert (job.state, job.task_id, job.epoch) == (JobState.SUBMITTED, "task_1", 1)
    assert job.submitted_at is not None
    assert job.released_at is not None
    assert await rig.lease(job) == inf
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) == pytest.approx(30, abs=5)
    assert await rig.tally() == {"submissions|accepted": "1"}


async def test_a_task_that_is_finished_with_its_first_answer_is_polled_at_once(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(), Accepted("task_1", completed()))
    assert job.state is JobState.SUBMITTED
    assert await dispatched(rig.redis, Role.CONFIRM) == [job.id]


async def test_the_upstream_gets_the_params_and_a_callback_url_that_names_the_attempt(
    rig: Rig,
) -> None:
    job = await rig.submit(await rig.accept(), Accepted("task_1"))
    [sent] = rig.upstream.released
    assert (sent.params, sent.model) == (job.params, job.model)
    base, _, token = (sent.callback_url or "").rpartition("/")
    assert base == "http://127.0.0.1:8080/callbacks"
    ref = tokens.verify(rig.resources.keyring, token)
    assert ref is not None
    assert (ref.tenant, ref.job_id, ref.epoch) == ("acme", job.id, 1)


async def test_the_callback_url_says_whom_the_result_is_for(rig: Rig) -> None:
    hook = "https://client.example.com/hook?key=secret"
    job = await rig.submit(await rig.accept(callback_url=hook), Accepted("task_1"))
    [sent] = rig.upstream.released
    token, _, sealed = (sent.callback_url or "").rpartition("/")[2].partition("?to=")
    ref = tokens.verify(rig.resources.keyring, token)
    assert ref is not None
    assert return_address.unseal(rig.resources.keyring, ref.kid, job.id, sealed) == (hook, None)
    assert "client" not in (sent.callback_url or "")


async def test_without_a_public_url_there_is_no_callback_but_still_a_reference(rig: Rig) -> None:
    job = await rig.accept()
    rig.upstream.outcomes.append(Accepted("task_1"))
    hidden = replace(rig.submitter, settings=rig.submitter.settings.model_copy(update={"public_url": ""}))
    await hidden.submit(await rig.ticket(Role.SUBMIT, job.id))
    [sent] = rig.upstream.released
    assert sent.callback_url is None
    assert tokens.verify(rig.resources.keyring, sent.reference)


async def test_a_busy_upstream_sends_the_job_back_to_its_lane_and_frees_the_slot(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(), Busy("429: too many tasks"))
    assert (job.state, job.status, job.task_id) == (JobState.QUEUED, Status.QUEUED, None)
    assert (job.epoch, job.released_at) == (1, None)
    assert await rig.lease(job) is None
    due = await rig.due_in(Role.SUBMIT, submit_ticket(job))
    assert due is not None
    assert 0 < due < 2
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) is None
    assert await rig.tally() == {"submissions|busy": "1"}


async def test_a_busy_upstream_that_names_a_time_gets_no_request_for_so_long(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(), Busy("429: slow down", retry_after_seconds=600))
    assert await rig.due_in(Role.SUBMIT, submit_ticket(job)) == pytest.approx(600, abs=5)


async def test_an_upstream_out_of_reach_costs_the_job_nothing_but_time(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(), Busy("connection refused", reached=False))
    assert (job.state, job.released_at) == (JobState.QUEUED, None)
    assert rig.upstream.released == []
    assert await rig.lease(job) is None
    assert await rig.tally() == {"submissions|unreachable": "1"}


@pytest.mark.parametrize(("before", "seconds"), [(0, 1.0), (4, 16.0), (9, 30.0), (500, 30.0)])
async def test_the_wait_for_a_busy_upstream_doubles_up_to_a_minute(
    rig: Rig, before: int, seconds: float
) -> None:
    job = await rig.accept()
    await rig.redis.hset(keys.job(job.id), "epoch", str(before))  # type: ignore[misc]
    await rig.submit(job, Busy("429"))
    due = await rig.due_in(Role.SUBMIT, submit_ticket(job))
    assert due is not None
    assert seconds - 0.9 < due <= seconds


async def test_a_job_sent_back_to_its_lane_lets_the_next_one_go_in_the_same_step(rig: Rig) -> None:
    first, _, third = [await rig.accept() for _ in range(3)]
    assert third.id not in await dispatched(rig.redis, Role.SUBMIT)
    await rig.submit(first, Busy("no connection", reached=False))
    assert third.id in await dispatched(rig.redis, Role.SUBMIT)


async def test_a_refused_account_is_paused_and_the_job_waits_in_its_lane(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(), AccountRefused(UpstreamError("no_credit", "top up"), 402))
    assert (job.state, job.error, job.released_at) == (JobState.QUEUED, None, None)
    assert await rig.due_in(Role.SUBMIT, submit_ticket(job)) == pytest.approx(45, abs=5)
    assert await rig.lease(job) is None
    account, _ = await rig.resources.accounts.read()
    assert (account.paused_at is not None, account.reason) == (True, "top up")
    assert await rig.tally() == {"submissions|account_refused": "1"}


async def test_a_rejected_job_has_failed_with_the_upstream_s_own_words(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(callback_url="https://client.example.com/hook"), Rejected(NSFW))
    assert (job.state, job.task_id) == (JobState.FAILED, None)
    assert job.error == {"code": "content_rejected", "error_message": "the prompt was refused"}
    assert job.finished_at is not None
    [delivery] = await rig.deliveries(job)
    assert (delivery.event_type, delivery.url) == (EventType.FAILED, "https://client.example.com/hook")
    assert await rig.tally() == {"jobs_finished|failed": "1", "submissions|rejected": "1"}


async def test_a_rejected_job_leaves_no_place_behind(rig: Rig) -> None:
    first, _, third = [await rig.accept() for _ in range(3)]
    job = await rig.submit(first, Rejected(NSFW))
    assert await rig.lease(job) is None
    assert await rig.due_in(Role.SUBMIT, submit_ticket(job)) is None
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) is None
    assert (await dispatched(rig.redis, Role.SUBMIT))[-1] == third.id


async def test_an_unknown_outcome_keeps_its_slot_and_waits_for_evidence(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(), Unknown("the connection broke"))
    assert (job.state, job.status) == (JobState.UNKNOWN, Status.QUEUED)
    assert job.unknown_at is not None
    assert job.released_at is not None
    assert await rig.lease(job) == inf
    assert await rig.due_in(Role.SUBMIT, submit_ticket(job)) is None
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) == pytest.approx(2, abs=2)
    assert await rig.tally() == {"submissions|unknown": "1"}


async def test_a_job_canceled_between_its_dispatch_and_the_worker_is_never_sent(rig: Rig) -> None:
    job = await rig.accept()
    ticket = await rig.ticket(Role.SUBMIT, job.id)
    r = rig.resources
    await cancel(job, r.jobs, r.settlement, r.environment, upstream_can=False)
    await rig.submitter.submit(ticket)
    assert rig.upstream.begun == []
    assert (await rig.read(job)).state is JobState.CANCELED
    assert await rig.lease(job) is None


async def test_a_second_submission_of_the_same_job_carries_a_token_of_its_own(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(), Busy("429"))
    await rig.make_due(Role.SUBMIT, str(submit_ticket(job)))
    again = await rig.submit(job, Accepted("task_1"))
    assert (again.epoch, again.state) == (2, JobState.SUBMITTED)
    first, second = [submission.reference for submission in rig.upstream.released]
    ref = tokens.verify(rig.resources.keyring, second)
    assert first != second
    assert ref is not None
    assert ref.epoch == 2
