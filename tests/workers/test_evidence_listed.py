"""The upstream's list as evidence, and callbacks whose bodies are believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.dispatch import Role
from gateway.jobs import Job
from gateway.lifecycle import JobState, OnUnknown
from gateway.store import keys
from gateway.upstream.base import (
    Capabilities,
    Found,
    Inconclusive,
    ListedTask,
    Listing,
    Missing,
)
from tests.gateway.store.conftest import dispatched
from tests.workers.conftest import Rig
from tests.workers.scripted import completed, working
from tests.workers.test_evidence import AFTER_GRACE, code, due_in, under, unknown


@pytest.fixture
async def open_way(rig: Rig) -> None:
    await rig.callbacks_can_come()


@pytest.fixture
def listing(rig: Rig) -> Rig:
    """The upstream has a list of its tasks."""
    rig.upstream.capabilities = Capabilities(listing=True)
    return rig


def mark(job: Job, epoch: int = 1) -> str:
    return f"k1.{job.tenant}.{job.id}.{epoch}.mac"


async def test_the_list_is_read_soon_and_a_few_times_more_in_the_first_minute(listing: Rig) -> None:
    await listing.callbacks_can_come()
    job = await unknown(listing)
    assert await due_in(listing, job) == pytest.approx(2, abs=2)
    waits = []
    for ahead in (2, 6, 18, 61):
        listing.clock.ahead = ahead
        listing.upstream.listings.append(Listing([]))
        await listing.confirm(job)
        waits.append(await due_in(listing, job))
    assert waits[:3] == [pytest.approx(4, abs=4), pytest.approx(12, abs=5), pytest.approx(36, abs=9)]
    assert waits[3] == pytest.approx(1800 - 61, abs=9)


async def test_a_row_with_the_job_s_mark_is_its_task(listing: Rig) -> None:
    job = await unknown(listing)
    rows = [ListedTask("task_9", reference="gw.other.mark"), ListedTask("task_1", reference=mark(job))]
    listing.upstream.listings.append(Listing(rows))
    after = await listing.confirm(job)
    assert (after.state, after.task_id) == (JobState.SUBMITTED, "task_1")
    assert await dispatched(listing.redis, Role.CONFIRM) == [job.id] * 2  # the poll that listed, and the next
    assert (await listing.tally())["submissions|found_listed"] == "1"
    assert after.released_at is not None
    [(since, until)] = listing.upstream.listed
    assert since <= after.released_at - 59_000
    assert until >= after.released_at


async def test_a_mark_that_only_a_poll_shows_counts_too(listing: Rig) -> None:
    job = await unknown(listing)
    rows = [
        ListedTask("task_7", prompt="a fox"),
        ListedTask("task_8", prompt="a fox"),
        ListedTask("task_9", prompt="a dog"),
    ]
    listing.upstream.listings.append(Listing(rows))
    polls = [Found(working()), Found(replace(working(), reference=mark(job)))]
    after = await listing.confirm(job, *polls)
    assert (after.state, after.task_id) == (JobState.SUBMITTED, "task_8")
    assert listing.upstream.queried == ["task_7", "task_8"]


async def test_the_mark_of_an_earlier_submission_of_the_job_counts_too(listing: Rig) -> None:
    job = await unknown(listing)
    await listing.redis.hset(keys.job(job.id), "epoch", "2")  # type: ignore[misc]
    listing.upstream.listings.append(Listing([ListedTask("task_1", reference=mark(job, 1))]))
    after = await listing.confirm(job)
    assert (after.state, after.task_id, after.epoch) == (JobState.SUBMITTED, "task_1", 2)


async def test_another_job_s_mark_is_never_taken(listing: Rig) -> None:
    job = await unknown(listing)
    foreign = mark(await listing.accept())
    rows = [ListedTask("task_1", reference=foreign, prompt="a fox"), ListedTask("task_2", prompt="a fox")]
    listing.upstream.listings.append(Listing(rows))
    after = await listing.confirm(job, Found(replace(working(), reference=foreign)))
    assert (after.state, after.task_id) == (JobState.UNKNOWN, None)


async def test_the_same_prompt_alone_is_no_proof(listing: Rig) -> None:
    job = await unknown(listing)
    listing.upstream.listings.append(Listing([ListedTask("task_1", prompt="a fox")]))
    after = await listing.confirm(job, Found(completed()))
    assert (after.state, after.task_id) == (JobState.UNKNOWN, None)


@pytest.mark.usefixtures("open_way")
async def test_the_list_is_read_once_more_at_the_end_of_the_window(listing: Rig) -> None:
    job = await unknown(listing, on_unknown=OnUnknown.RESUBMIT)
    listing.upstream.listings.extend([Listing([]), Listing([ListedTask("task_1", reference=mark(job))])])
    await listing.confirm(job)
    listing.clock.ahead = AFTER_GRACE
    after = await listing.confirm(job)
    assert (after.state, after.task_id, after.resubmits) == (JobState.SUBMITTED, "task_1", 0)


@pytest.mark.usefixtures("open_way")
async def test_a_list_that_cannot_be_read_is_no_reason_to_pay_again(listing: Rig) -> None:
    job = await unknown(listing, on_unknown=OnUnknown.RESUBMIT)
    listing.upstream.listings.append(Inconclusive("503"))
    listing.clock.ahead = AFTER_GRACE
    after = await listing.confirm(job)
    assert (after.state, after.resubmits) == (JobState.UNKNOWN, 0)
    assert await due_in(listing, job) > 1


# -- bodies that are believed


async def test_a_believed_body_settles_a_job_whose_task_was_never_named(rig: Rig) -> None:
    rig = under(rig, callback_trust="body")
    job = await unknown(rig)
    reported = {"status": "completed", "output": completed().output, "usage": {"cost": "1"}}
    await rig.callback(job, None, claimed=reported)
    assert (await rig.confirm(job)).state is JobState.SUBMITTED
    after = await rig.confirm(job)
    assert (after.state, after.output, after.usage) == (
        JobState.COMPLETED,
        completed().output,
        {"cost": "1"},
    )
    assert rig.upstream.queried == []


async def test_a_believed_failure_fails_it(rig: Rig) -> None:
    rig = under(rig, callback_trust="body")
    job = await rig.submitted()
    error = {"code": "nsfw", "message": "no"}
    await rig.callback(job, "task_1", claimed={"status": "failed", "error": error})
    rig.clock.ahead = 70
    after = await rig.confirm(job, Missing())
    assert (after.state, after.error) == (JobState.FAILED, {"code": "nsfw", "error_message": "no"})


async def test_a_task_that_can_be_polled_outranks_the_body(rig: Rig) -> None:
    rig = under(rig, callback_trust="body")
    job = await rig.submitted()
    await rig.callback(job, "task_1", claimed={"status": "failed"})
    assert (await rig.confirm(job, Found(completed()))).state is JobState.COMPLETED


async def test_a_body_is_not_believed_unless_that_was_chosen(rig: Rig) -> None:
    job = await rig.submitted()
    await rig.callback(job, "task_1", claimed={"status": "completed", "output": completed().output})
    rig.clock.ahead = 70
    after = await rig.confirm(job, Missing())
    assert (after.state, code(after)) == (JobState.FAILED, "upstream_task_lost")


async def test_a_listed_task_answers_the_submission_that_its_mark_names(listing: Rig) -> None:
    job = await unknown(listing)
    await listing.redis.hset(keys.job(job.id), "epoch", "2")  # type: ignore[misc]
    await listing.redis.zadd(keys.UNANSWERED, {f"{job.id}|1": 1, f"{job.id}|2": 2})
    listing.upstream.listings.append(Listing([ListedTask("task_1", reference=mark(job, 1))]))
    await listing.confirm(await listing.read(job))
    assert await listing.redis.zrange(keys.UNANSWERED, 0, -1) == [f"{job.id}|2"]
