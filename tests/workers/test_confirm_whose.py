"""Whose a task is: what becomes of tasks that turn out to be another job's, or may."""

from __future__ import annotations

import asyncio

import pytest

from gateway.dispatch import Role
from gateway.jobs import confirm_ticket, submit_ticket
from gateway.lifecycle import JobState
from gateway.store import keys
from gateway.store.base import CallbackOutcome
from gateway.upstream.base import Accepted, Busy, Capabilities, Found, ListedTask, Listing, Unknown
from tests.gateway.store.conftest import dispatched
from tests.workers.conftest import Rig
from tests.workers.scripted import completed
from tests.workers.test_confirm_tasks import done


async def test_a_task_with_another_job_s_mark_is_never_this_job_s(rig: Rig) -> None:
    job, other = await rig.submitted(), await rig.accept()
    foreign = Found(completed(reference=f"k1.acme.{other.id}.1.mac"))
    assert (await rig.confirm(job, foreign)).state is JobState.SUBMITTED
    own = Found(completed(reference=f"k1.acme.{job.id}.1.mac"))
    assert (await rig.confirm(job, own)).state is JobState.COMPLETED


async def test_of_two_jobs_with_one_task_each_is_polled_and_only_the_owner_gets_the_video(
    rig: Rig,
) -> None:
    first = await rig.submitted()
    second = await rig.accept()

    async def cross() -> None:
        assert await rig.callback(second, "task_1") is CallbackOutcome.CROSSED

    rig.upstream.after_gate = cross
    second = await rig.submit(second, Accepted("task_2"))
    assert set(await dispatched(rig.redis, Role.CONFIRM)) == {first.id, second.id}
    assert (await rig.confirm(first, Found(completed()))).state is JobState.COMPLETED
    after = await rig.confirm(second, Found(completed(task_id="task_2")))
    assert (after.state, after.task_id, after.earlier) == (JobState.COMPLETED, "task_2", [])


async def test_a_job_whose_task_was_given_to_its_rightful_owner_waits_for_its_own(rig: Rig) -> None:
    thief = await rig.accept()

    async def steal() -> None:
        await rig.callback(thief, "task_1")

    rig.upstream.after_gate = steal
    rightful = await rig.accept()
    await rig.submit(rightful, Accepted("task_1"))
    rig.upstream.after_gate = rig.upstream.before_gate
    assert (await rig.read(thief)).task_id != "task_1"
    assert (await rig.read(rightful)).task_id == "task_1"


async def test_a_job_that_lost_one_task_to_its_rightful_owner_still_polls_its_others(rig: Rig) -> None:
    job = await rig.accept()
    claimed = await rig.resources.jobs.claim(await rig.ticket(Role.SUBMIT, job.id), "run")
    assert claimed
    await rig.resources.jobs.release(claimed)
    await rig.callback(job, "task_2")
    await rig.callback(job, "task_1")
    await rig.submit(await rig.accept(), Accepted("task_2"))
    found = await rig.read(job)
    assert (found.task_id, found.earlier) == (None, ["task_1"])
    rig.nobody_gainsays()
    assert (await rig.confirm(job, done("task_1"))).state is JobState.COMPLETED


async def test_a_job_without_a_task_waits_for_a_callback_to_name_one(rig: Rig) -> None:
    job = await rig.submitted()
    await rig.redis.hdel(keys.job(job.id), "task_id", "answered:1")  # type: ignore[misc]
    assert (await rig.confirm(job)).state is JobState.SUBMITTED
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) is not None
    await rig.callback(job, "task_7")
    rig.nobody_gainsays()
    assert (await rig.confirm(job, done("task_7"))).state is JobState.COMPLETED


# -- a task that only a callback named


async def test_it_is_believed_at_once_if_no_other_submission_lacks_an_answer(rig: Rig) -> None:
    await rig.submitted()
    job = await rig.submit(await rig.accept(), Unknown("reset"))
    await rig.callback(job, "task_7")
    assert (await rig.confirm(job, done("task_7"))).state is JobState.COMPLETED
    assert await rig.redis.zcard(keys.UNANSWERED) == 0


async def test_of_two_such_jobs_one_after_the_other_both_are_believed_at_once(rig: Rig) -> None:
    for task in ("task_1", "task_2"):
        job = await rig.submit(await rig.accept(), Unknown("reset"))
        await rig.callback(job, task)
        assert (await rig.confirm(job, done(task))).state is JobState.COMPLETED


async def test_it_is_not_believed_before_word_to_the_contrary_had_time_to_come(rig: Rig) -> None:
    await rig.submit(await rig.accept(), Unknown("reset"))
    job = await rig.submit(await rig.accept(), Unknown("reset"))
    await rig.callback(job, "task_1")
    assert (await rig.confirm(job)).state is JobState.SUBMITTED
    assert rig.upstream.queried == []
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) == pytest.approx(1, abs=1)
    rig.clock.ahead += 12
    assert (await rig.confirm(job)).state is JobState.SUBMITTED
    assert await rig.due_in(Role.CONFIRM, confirm_ticket(job)) == pytest.approx(12, abs=4)
    rig.nobody_gainsays()
    assert (await rig.confirm(job, done("task_1"))).state is JobState.COMPLETED


async def test_it_is_believed_as_soon_as_the_others_have_their_answers(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(), Unknown("reset"))
    other = await rig.accept()

    async def call_back() -> None:
        await rig.callback(job, "task_1")
        assert (await rig.confirm(job)).state is JobState.SUBMITTED

    rig.upstream.after_gate = call_back
    await rig.submit(other, Accepted("task_2"))
    assert (await rig.confirm(job, done("task_1"))).state is JobState.COMPLETED


async def test_a_submission_that_was_released_after_the_callback_does_not_matter(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(), Unknown("reset"))
    await rig.callback(job, "task_1")
    await asyncio.sleep(0.002)
    await rig.submit(await rig.accept(), Unknown("reset"))
    assert (await rig.confirm(job, done("task_1"))).state is JobState.COMPLETED


async def test_a_refusal_is_no_proof_that_there_is_no_task(rig: Rig) -> None:
    await rig.submit(await rig.accept(), Busy("429", 600))
    await rig.redis.delete(keys.account("main"))  # which waits, too
    job = await rig.submit(await rig.accept(), Unknown("reset"))
    await rig.callback(job, "task_1")
    assert (await rig.confirm(job)).state is JobState.SUBMITTED


async def test_the_other_s_earlier_submission_counts_although_its_newest_was_answered(rig: Rig) -> None:
    other = await rig.submit(await rig.accept(), Busy("429", 600))
    await rig.redis.delete(keys.account("main"))
    await rig.make_due(Role.SUBMIT, str(submit_ticket(other)))
    await rig.submit(other, Accepted("task_2"))
    job = await rig.submit(await rig.accept(), Unknown("reset"))
    await rig.callback(job, "task_1")
    assert (await rig.confirm(job)).state is JobState.SUBMITTED


async def test_it_is_not_believed_at_once_if_redis_has_lost_its_submission(rig: Rig) -> None:
    job = await rig.accept()
    await rig.callback(job, "task_1")
    assert (await rig.confirm(job)).state is JobState.SUBMITTED
    assert rig.upstream.queried == []


async def test_a_job_that_two_tasks_were_named_for_waits(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(), Unknown("reset"))
    await rig.callback(job, "task_1")
    await rig.callback(job, "task_2")
    assert (await rig.confirm(job)).state is JobState.SUBMITTED
    assert rig.upstream.queried == []


async def test_a_task_that_shows_the_job_s_mark_is_believed_at_once_whatever_else_is_missing(
    rig: Rig,
) -> None:
    rig.upstream.capabilities = Capabilities(marks=True)
    await rig.submit(await rig.accept(), Unknown("reset"))
    job = await rig.submit(await rig.accept(), Unknown("reset"))
    await rig.callback(job, "task_1")
    own = Found(completed(reference=f"k1.acme.{job.id}.1.mac"))
    assert (await rig.confirm(job, own, own)).state is JobState.COMPLETED


async def test_a_task_that_shows_no_mark_or_another_s_is_not(rig: Rig) -> None:
    rig.upstream.capabilities = Capabilities(marks=True)
    other = await rig.submit(await rig.accept(), Unknown("reset"))
    job = await rig.submit(await rig.accept(), Unknown("reset"))
    await rig.callback(job, "task_1")
    assert (await rig.confirm(job, done("task_1"))).state is JobState.SUBMITTED
    foreign = Found(completed(reference=f"k1.acme.{other.id}.1.mac"))
    assert (await rig.confirm(job, foreign, foreign)).state is JobState.SUBMITTED
    assert (await rig.read(job)).claimed_at is not None


async def test_a_submission_that_was_never_answered_is_forgotten_after_the_deadline_of_a_job(
    rig: Rig,
) -> None:
    await rig.submit(await rig.accept(), Unknown("reset"))
    await rig.sweep()
    assert await rig.redis.zcard(keys.UNANSWERED) == 1
    [member] = await rig.redis.zrange(keys.UNANSWERED, 0, -1)
    settings = rig.confirmer.settings
    for deadline, left in ((settings.job_deadline_seconds, 1), (settings.job_deadline(off_peak=True), 0)):
        long_ago = rig.clock() - deadline - 1
        await rig.redis.zadd(keys.UNANSWERED, {member: long_ago * 1000})
        await rig.redis.delete(keys.SWEPT)
        await rig.sweep()
        assert await rig.redis.zcard(keys.UNANSWERED) == left  # it may have been an off-peak task


async def test_another_callback_does_not_make_the_wait_longer(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(), Unknown("reset"))
    await rig.callback(job, "task_1", terminal=False, working=True)
    before = (await rig.read(job)).claimed_at
    await rig.callback(job, "task_1")
    assert (await rig.read(job)).claimed_at == before is not None


async def test_an_answer_that_names_it_too_ends_the_wait_at_once(rig: Rig) -> None:
    job = await rig.accept()

    async def call_back() -> None:
        await rig.callback(job, "task_1")

    rig.upstream.after_gate = call_back
    after = await rig.submit(job, Accepted("task_1"))
    assert after.claimed_at is None
    assert await dispatched(rig.redis, Role.CONFIRM) == [job.id]
    rig.upstream.polls.append(done("task_1"))
    await rig.confirmer.confirm(await rig.ticket(Role.CONFIRM, job.id))
    assert (await rig.read(job)).state is JobState.COMPLETED


async def test_an_answer_that_comes_while_it_waits_gives_the_task_to_its_rightful_owner(rig: Rig) -> None:
    """The upstream crossed a callback, and the other job's submission is still on its way."""
    thief = await rig.submit(await rig.accept(), Unknown("reset"))
    rightful = await rig.accept()

    async def cross() -> None:
        await rig.callback(thief, "task_1")
        assert (await rig.confirm(thief)).state is JobState.SUBMITTED

    rig.upstream.after_gate = cross
    rightful = await rig.submit(rightful, Accepted("task_1"))
    rig.nobody_gainsays()
    assert (await rig.confirm(thief)).state is JobState.SUBMITTED
    assert (await rig.confirm(rightful, done("task_1"))).state is JobState.COMPLETED


async def test_a_task_that_callbacks_name_for_two_jobs_is_given_to_neither(rig: Rig) -> None:
    thief, rightful = [await rig.submit(await rig.accept(), Unknown("reset")) for _ in range(2)]
    await rig.callback(thief, "task_1", terminal=False, working=True)
    assert await rig.callback(rightful, "task_1") is CallbackOutcome.CROSSED
    rig.nobody_gainsays()
    for job in (thief, rightful):
        assert not (await rig.confirm(job)).final
    assert rig.upstream.queried == []


async def test_the_list_names_the_task_of_a_job_whose_own_was_found_to_be_another_s(rig: Rig) -> None:
    rig.upstream.capabilities = Capabilities(listing=True)
    thief, rightful = [await rig.submit(await rig.accept(), Unknown("reset")) for _ in range(2)]
    await rig.callback(thief, "task_2")
    await rig.callback(rightful, "task_2")
    rows = [ListedTask("task_2", reference=f"k1.acme.{rightful.id}.1.mac")]
    rows.append(ListedTask("task_1", reference=f"k1.acme.{thief.id}.1.mac"))
    rig.upstream.listings.extend([Listing(rows)] * 2)
    assert (await rig.confirm(thief)).task_id == "task_1"
    assert (await rig.confirm(rightful)).task_id == "task_2"


async def test_the_list_names_the_task_of_a_job_whose_only_one_carries_another_s_mark(rig: Rig) -> None:
    rig.upstream.capabilities = Capabilities(listing=True)
    job, other = await rig.submit(await rig.accept(), Unknown("reset")), await rig.accept()
    await rig.callback(job, "task_2")
    rig.nobody_gainsays()
    rig.upstream.listings.append(Listing([ListedTask("task_1", reference=f"k1.acme.{job.id}.1.mac")]))
    foreign = Found(completed(task_id="task_2", reference=f"k1.acme.{other.id}.1.mac"))
    assert (await rig.confirm(job, foreign)).task_id == "task_1"
    assert (await rig.confirm(job, done("task_1"), foreign)).state is JobState.COMPLETED
