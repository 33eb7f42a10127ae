"""What the sweep finds and puts right, and what ends neither it nor its pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.dispatch import Role, Ticket
from gateway.errors import NotFound, StoreUnavailable
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import JobState
from gateway.media.folder import FolderStore
from gateway.media.inline import InlineFiles, IsLive
from gateway.store import keys
from gateway.store.base import TransitionResult
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.transitions import Transition
from gateway.upstream.base import Accepted, Busy
from tests.gateway.store.conftest import dispatched, new_job, store_parts
from tests.workers.conftest import Rig, end, eventually, leading
from workers import sweep


async def test_what_became_due_is_dispatched(rig: Rig) -> None:
    job = await rig.submit(await rig.accept(), Busy("no connection", 600, reached=False))
    await rig.sweep()
    assert await rig.due_in(Role.SUBMIT, submit_ticket(job)) is not None
    await rig.redis.zadd(keys.due(Role.SUBMIT), {str(submit_ticket(job)): 1})
    await rig.sweep()
    assert (await rig.submit(job, Accepted("task_1"))).epoch == 2


async def test_a_poll_and_a_delivery_that_became_due_are_dispatched_too(rig: Rig) -> None:
    job = await rig.submitted()
    await rig.redis.zadd(keys.due(Role.CONFIRM), {str(confirm_ticket(job)): 1})
    await rig.redis.zadd(keys.due(Role.DELIVER), {"ep_1|dlv_1": 1})
    await rig.sweep()
    assert await dispatched(rig.redis, Role.CONFIRM) == [job.id]
    assert await dispatched(rig.redis, Role.DELIVER) == ["dlv_1"]


async def test_a_dispatch_that_no_worker_took_up_is_repeated_and_leaves_one_wake_up(rig: Rig) -> None:
    job = await rig.accept()
    old = await rig.ticket(Role.SUBMIT, job.id)
    for _ in range(3):
        await rig.let_lease_run_out(Role.SUBMIT, old)
        await rig.sweep()
    new = await rig.ticket(Role.SUBMIT, job.id)
    assert new.dispatch_number == old.dispatch_number + 3
    assert await dispatched(rig.redis, Role.SUBMIT) == [job.id]
    assert len(await rig.redis.keys("arq:job:*")) == 1
    assert (await rig.read(job)).state is JobState.QUEUED


@pytest.mark.parametrize("role", [Role.CONFIRM, Role.DELIVER])
async def test_a_poll_or_an_attempt_whose_worker_died_is_dispatched_again(rig: Rig, role: Role) -> None:
    ticket = Ticket(role, "lane", "name")
    await rig.redis.zadd(keys.due(role), {str(ticket): 1})
    await rig.sweep()
    old = await rig.ticket(role, "name")
    await rig.let_lease_run_out(role, old)
    await rig.sweep()
    assert (await rig.ticket(role, "name")).dispatch_number > old.dispatch_number


async def test_a_lease_that_still_runs_is_left_alone(rig: Rig) -> None:
    job = await rig.accept()
    ticket = await rig.ticket(Role.SUBMIT, job.id)
    await rig.sweep()
    assert await rig.ticket(Role.SUBMIT, job.id) == ticket


async def test_a_submitted_job_is_never_called_lost_by_the_sweep(rig: Rig) -> None:
    job = await rig.submitted()
    await rig.let_lease_run_out(Role.SUBMIT, submit_ticket(job))
    await rig.sweep()
    after = await rig.read(job)
    assert (after.state, after.task_id) == (JobState.SUBMITTED, "task_1")
    assert await rig.lease(job) == float("inf")


class LateRelease(RedisJobStore):
    """Releases a submission just before the sweep's outcome on it arrives."""

    def __init__(self, rig: Rig, claimed: Job) -> None:
        super().__init__(*store_parts(rig.resources))
        self._claimed = claimed

    async def apply(self, job: Job, move: Transition) -> TransitionResult:
        assert await self.release(self._claimed)
        return await super().apply(job, move)


async def test_a_submission_that_is_released_while_the_sweep_reads_is_not_called_free(rig: Rig) -> None:
    job = await rig.accept()
    claimed = await rig.resources.jobs.claim(await rig.ticket(Role.SUBMIT, job.id))
    assert claimed
    await rig.let_lease_run_out(Role.SUBMIT, submit_ticket(job))
    await replace(rig.sweeper, jobs=LateRelease(rig, claimed)).sweep()
    assert (await rig.read(job)).state is JobState.SUBMITTING
    await rig.sweep()
    assert (await rig.read(job)).state is JobState.UNKNOWN


async def test_a_pass_leaves_when_it_was_made(rig: Rig) -> None:
    assert (await rig.resources.gauges.read()).sweep_age_seconds is None
    await rig.sweep()
    assert (await rig.resources.gauges.read()).sweep_age_seconds == pytest.approx(0, abs=10)


async def test_of_many_sweepers_one_makes_the_pass(rig: Rig) -> None:
    job = await rig.submitted()
    await rig.sweep()
    await rig.redis.zadd(keys.due(Role.CONFIRM), {str(confirm_ticket(job)): 1})
    await rig.sweeper.sweep()
    assert await dispatched(rig.redis, Role.CONFIRM) == []
    assert 0 < await rig.redis.pttl(keys.SWEEP) <= 1000


class WatchedBlobs(InlineFiles):
    """`swept`: set when a pass is over."""

    def __init__(self, store: FolderStore, clock: Callable[[], float]) -> None:
        super().__init__(store, clock)
        self.swept = asyncio.Event()

    async def sweep(self, is_live: IsLive, older_than_seconds: float) -> int:
        dropped = await super().sweep(is_live, older_than_seconds)
        self.swept.set()
        return dropped


async def test_files_of_jobs_that_were_never_accepted_are_forgotten_after_a_quarter_of_an_hour(
    rig: Rig, tmp_path: Path
) -> None:
    live = await rig.accept()
    blobs = WatchedBlobs(FolderStore(tmp_path), rig.clock)
    kept = await blobs.put(live.id, b"kept", "png")
    orphan = await blobs.put(new_job().id, b"orphan", "png")
    rig.clock.ahead = 1000
    running = asyncio.create_task(replace(rig.sweeper, inline_files=blobs).run_inline_files())
    await asyncio.wait_for(blobs.swept.wait(), 60)
    await end(running)
    with pytest.raises(NotFound):
        await blobs.read(orphan)
    assert await blobs.read(kept) == b"kept"


class AwayLanes(Lanes):
    """Redis is away for the first passes."""

    def __init__(self, rig: Rig, passes: int) -> None:
        super().__init__(rig.resources.scripts, rig.resources.settings.roles())
        self._left = passes
        self.back = asyncio.Event()

    async def dispatch(self) -> int:
        if self._left:
            self._left -= 1
            raise StoreUnavailable("Redis does not answer")
        self.back.set()
        return await super().dispatch()


async def test_redis_being_away_ends_a_pass_and_never_the_sweeper(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "TICK_SECONDS", 0.002)
    lanes = AwayLanes(rig, passes=3)
    with capture_logs() as logged:
        running = asyncio.create_task(replace(rig.sweeper, lanes=lanes).run(leading()))
        await asyncio.wait_for(lanes.back.wait(), 10)
        await eventually(lambda: came_back(logged))
        assert not running.done()
        await end(running)
    assert [line["event"] for line in logged] == ["sweep_cut_short", "sweep_back"]


async def came_back(logged: Sequence[Mapping[str, Any]]) -> bool:
    return any(line["event"] == "sweep_back" for line in logged)
