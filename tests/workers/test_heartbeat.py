"""How often a process reports, and who leads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from gateway.dispatch import Role
from gateway.errors import StoreUnavailable
from gateway.store.workers import Beat, RedisWorkers
from tests.workers.conftest import Rig, end, eventually
from workers import heartbeat
from workers.heartbeat import Heartbeat


class Counted(RedisWorkers):
    """Counts the heartbeats. `answers`: instead of the store's, in order; None: it is away."""

    def __init__(self, rig: Rig, answers: Sequence[Beat | None] = ()) -> None:
        super().__init__(rig.redis, rig.resources.scripts)
        self.answers = list(answers)
        self.beats = 0

    async def beat(self, *args: object, **options: object) -> Beat:
        self.beats += 1
        if not self.answers:
            return Beat(0, leads=False, processes=1)
        answer = self.answers.pop(0)
        if answer is None:
            raise StoreUnavailable("Redis does not answer")
        return answer


@contextlib.asynccontextmanager
async def reporting(made: Heartbeat) -> AsyncIterator[None]:
    task = asyncio.create_task(made.run())
    try:
        yield
    finally:
        await end(task)


def beating(rig: Rig, workers: RedisWorkers, running: int = 0) -> Heartbeat:
    return Heartbeat(workers, list(Role), rig.resources.environment, lambda: running)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat is short, and a rest longer than any test."""
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(heartbeat, "IDLE_BEAT_SECONDS", 100.0)


CROWD = [Beat(0, leads=False, processes=1000)] * 100


async def test_an_idle_process_among_many_reports_seldom_until_it_takes_work(rig: Rig) -> None:
    workers = Counted(rig, CROWD)
    made = beating(rig, workers)

    async def beats(count: int) -> bool:
        return workers.beats >= count

    async with reporting(made):
        await eventually(lambda: beats(1))
        await asyncio.sleep(0.2)
        assert workers.beats == 1
        made.took_work()
        await eventually(lambda: beats(2))
        await asyncio.sleep(0.2)
        assert workers.beats == 2


async def test_what_was_left_undone_is_reported_at_once(rig: Rig) -> None:
    workers = Counted(rig, CROWD)
    made = beating(rig, workers)

    async def beats(count: int) -> bool:
        return workers.beats >= count

    async with reporting(made):
        await eventually(lambda: beats(1))
        made.leave(await rig.ticket(Role.SUBMIT, (await rig.accept()).id))
        await eventually(lambda: beats(2))


@pytest.mark.parametrize(
    ("answer", "running"),
    [
        (Beat(0, leads=True, processes=1000), 0),
        (Beat(0, leads=False, processes=1000), 1),
        (Beat(0, leads=False, processes=8), 0),
    ],
    ids=["it leads", "it works", "there are few"],
)
async def test_every_other_process_reports_every_second(rig: Rig, answer: Beat, running: int) -> None:
    workers = Counted(rig, [answer] * 100)

    async def often() -> bool:
        return workers.beats >= 5

    async with reporting(beating(rig, workers, running)):
        await eventually(often)


async def test_a_process_knows_when_it_begins_to_lead_and_when_it_does_no_more(rig: Rig) -> None:
    follows, leads = (Beat(0, leads=leads, processes=1) for leads in (False, True))
    workers = Counted(rig, [follows, None, leads, leads, follows])
    told: list[bool] = []
    made = Heartbeat(workers, [], rig.resources.environment, lambda: 0, lambda: told.append(True))

    async def over() -> bool:
        return not workers.answers and not made.leads.is_set()

    async with reporting(made):
        await asyncio.wait_for(made.leads.wait(), 10)
        await eventually(over)
    assert told == [True]


async def test_one_of_two_processes_leads_and_the_other_does_when_it_ends(rig: Rig) -> None:
    first, second = (beating(rig, rig.resources.workers) for _ in range(2))
    async with contextlib.AsyncExitStack() as stack:
        async with reporting(first):
            await asyncio.wait_for(first.leads.wait(), 10)
            await stack.enter_async_context(reporting(second))
            await asyncio.wait_for(second.known.wait(), 10)
            assert not second.leads.is_set()
        await first.end()
        await asyncio.wait_for(second.leads.wait(), 10)
