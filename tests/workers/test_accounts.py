"""Workers with two accounts: what one did not take goes to the other; a task is its own account's alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from gateway.callbacks import tokens
from gateway.dispatch import Role
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import JobState
from gateway.settings import Settings
from gateway.store import keys
from gateway.upstream.base import (
    Accepted,
    AccountRefused,
    Busy,
    CancelDone,
    Capabilities,
    Found,
    ListedTask,
    Listing,
    Unknown,
    UpstreamError,
)
from tests.workers.conftest import Rig
from tests.workers.scripted import ScriptedUpstream, completed, working

NO_CREDIT = AccountRefused(UpstreamError("no_credit", "top up"), 402)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "upstream_slots": 1,
            "upstream_accounts": type(settings.upstream_key)(
                '[{"name": "second", "key": "second-key", "slots": 1}]'
            ),
        }
    )


@dataclass(frozen=True, slots=True)
class Two:
    """`rig.upstream` is `main`'s. The first job is sent with it, the next with `second`."""

    rig: Rig
    second: ScriptedUpstream

    @property
    def main(self) -> ScriptedUpstream:
        return self.rig.upstream


@pytest.fixture
def two(rig: Rig) -> Two:
    second = ScriptedUpstream()
    upstreams = {"main": rig.upstream, "second": second}
    return Two(
        replace(
            rig,
            submitter=replace(rig.submitter, upstreams=upstreams),
            confirmer=replace(rig.confirmer, upstreams=upstreams),
        ),
        second,
    )


async def of_second(two: Two) -> Job:
    """A job that was sent with the second account, task_1."""
    await two.rig.accept()
    job = await two.rig.accept()
    two.second.outcomes.append(Accepted("task_1"))
    await two.rig.submitter.submit(await two.rig.ticket(Role.SUBMIT, job.id))
    return await two.rig.read(job)


async def test_the_token_says_which_account_was_sent_with(two: Two) -> None:
    job = await of_second(two)
    assert (job.state, job.account) == (JobState.SUBMITTED, "second")
    [sent] = two.second.released
    ref = tokens.verify(two.rig.resources.keyring, sent.reference)
    assert ref is not None
    assert (ref.job_id, ref.epoch, ref.account) == (job.id, 1, "second")
    assert two.main.begun == []


async def test_a_task_is_polled_with_its_own_key_alone(two: Two) -> None:
    job = await of_second(two)
    two.second.polls.append(Found(completed()))
    await two.rig.make_due(Role.CONFIRM, str(confirm_ticket(job)))
    await two.rig.confirmer.confirm(await two.rig.ticket(Role.CONFIRM, job.id))
    assert (await two.rig.read(job)).state is JobState.COMPLETED
    assert (two.second.queried, two.main.queried) == (["task_1"], [])


async def test_a_task_is_canceled_with_its_own_key_alone(two: Two) -> None:
    job = await of_second(two)
    two.second.capabilities = two.main.capabilities = Capabilities(cancel=True)
    two.second.cancels.append(CancelDone())
    two.second.polls.append(Found(working()))
    await two.rig.redis.hset(keys.job(job.id), "cancel_wished_at", "1")  # type: ignore[misc]
    await two.rig.make_due(Role.CONFIRM, str(confirm_ticket(job)))
    await two.rig.confirmer.confirm(await two.rig.ticket(Role.CONFIRM, job.id))
    assert (two.second.canceled, two.main.canceled) == (["task_1"], [])


async def test_an_unknown_submission_is_searched_in_the_list_of_its_account(two: Two) -> None:
    await two.rig.accept()
    job = await two.rig.accept()
    two.second.outcomes.append(Unknown("the connection broke"))
    await two.rig.submitter.submit(await two.rig.ticket(Role.SUBMIT, job.id))
    two.second.capabilities = two.main.capabilities = Capabilities(listing=True)
    [sent] = two.second.released
    two.second.listings.append(Listing([ListedTask("task_9", reference=sent.reference)]))
    await two.rig.make_due(Role.CONFIRM, str(confirm_ticket(await two.rig.read(job))))
    await two.rig.confirmer.confirm(await two.rig.ticket(Role.CONFIRM, job.id))
    found = await two.rig.read(job)
    assert (found.state, found.task_id, two.main.listed) == (JobState.SUBMITTED, "task_9", [])


async def test_a_job_that_an_account_refuses_soon_goes_to_the_other(two: Two) -> None:
    job = await two.rig.submit(await two.rig.accept(), NO_CREDIT)
    assert (job.state, job.account, job.refusals) == (JobState.QUEUED, "main", 1)
    assert await two.rig.due_in(Role.SUBMIT, submit_ticket(job)) == pytest.approx(1, abs=0.9)
    await two.rig.make_due(Role.SUBMIT, str(submit_ticket(job)))
    two.second.outcomes.append(Accepted("task_1"))
    await two.rig.submitter.submit(await two.rig.ticket(Role.SUBMIT, job.id))
    found = await two.rig.read(job)
    assert (found.state, found.account, found.epoch) == (JobState.SUBMITTED, "second", 2)
    assert len(two.main.released) == 1


async def test_a_job_that_both_refuse_waits_for_longer_so_that_others_are_the_probes(two: Two) -> None:
    job = await two.rig.submit(await two.rig.accept(), NO_CREDIT)
    await two.rig.make_due(Role.SUBMIT, str(submit_ticket(job)))
    two.second.outcomes.append(NO_CREDIT)
    await two.rig.submitter.submit(await two.rig.ticket(Role.SUBMIT, job.id))
    assert await two.rig.due_in(Role.SUBMIT, submit_ticket(job)) == pytest.approx(90, abs=5)


async def test_a_busy_account_is_spared_for_as_long_as_it_said_and_its_job_is_not(two: Two) -> None:
    job = await two.rig.submit(await two.rig.accept(), Busy("429", retry_after_seconds=500))
    assert await two.rig.due_in(Role.SUBMIT, submit_ticket(job)) == pytest.approx(1, abs=0.9)
    account, _ = await two.rig.resources.accounts.read("main")
    assert account.hold_until is not None
    await two.rig.make_due(Role.SUBMIT, str(submit_ticket(job)))
    two.second.outcomes.append(Accepted("task_1"))
    await two.rig.submitter.submit(await two.rig.ticket(Role.SUBMIT, job.id))
    assert (await two.rig.read(job)).account == "second"


async def test_a_worker_that_does_not_know_the_account_puts_the_job_back_unpaid(two: Two) -> None:
    await two.rig.accept()
    job = await two.rig.accept()
    old = replace(two.rig.submitter, upstreams={"main": two.main})
    await old.submit(await two.rig.ticket(Role.SUBMIT, job.id))
    found = await two.rig.read(job)
    assert (found.state, found.released_at) == (JobState.QUEUED, None)
    assert (two.main.begun, two.second.begun) == ([], [])


async def test_a_worker_that_does_not_know_the_account_polls_nothing(two: Two) -> None:
    job = await of_second(two)
    await two.rig.make_due(Role.CONFIRM, str(confirm_ticket(job)))
    old = replace(two.rig.confirmer, upstreams={"main": two.main})
    await old.confirm(await two.rig.ticket(Role.CONFIRM, job.id))
    assert (await two.rig.read(job)).state is JobState.SUBMITTED
    assert two.main.queried == []
    assert await two.rig.due_in(Role.CONFIRM, confirm_ticket(job)) is not None
