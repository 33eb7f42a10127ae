"""Places that tenants share: a tenant with much to do delays itself, and no other for long."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import LimitReached, Unavailable
from gateway.generation.turns import Turns
from gateway.local.shared_memory import Shared
from tests.gateway.local.test_shared_memory import held_by


def turns(**other: object) -> Turns:
    settings = {"places": 2, "of_tenant": 1, "waiting": 3, "seconds": 60} | other
    return Turns("the work", "inspections", **settings)  # type: ignore[arg-type]


class Work:
    """Requests that hold a place until they are asked to end. `began`: in order."""

    def __init__(self, places: Turns) -> None:
        self.places = places
        self.began: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    async def _run(self, tenant: str, name: str) -> None:
        async with self.places.turn(tenant):
            self.began.append(name)
            await self.ends[name].wait()

    async def start(self, *names: str) -> list[asyncio.Task[None]]:
        """`a1`: the first request of the tenant `a`."""
        tasks = []
        for name in names:
            self.ends[name] = asyncio.Event()
            tasks.append(asyncio.create_task(self._run(name[0], name)))
            await settle()
        return tasks

    async def end(self, *names: str) -> None:
        for name in names:
            self.ends[name].set()
            await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_tenant_leaves_a_place_for_the_others() -> None:
    work = Work(turns())
    await work.start("a1", "a2", "b1")
    assert work.began == ["a1", "b1"]
    await work.end("a1")
    assert work.began == ["a1", "b1", "a2"]
    await work.end("a2", "b1")


async def test_free_places_go_to_the_tenants_in_turn() -> None:
    work = Work(turns(places=1))
    await work.start("a1", "a2", "a3", "a4", "b1", "c1", "c2")
    for name in ("a1", "a2", "b1", "c1", "a3", "c2", "a4"):
        assert work.began[-1] == name
        await work.end(name)
    assert not work.places._lines
    assert not work.places._used


async def test_a_tenant_without_a_name_gets_its_turn_and_holds_up_nobody_behind_it() -> None:
    places, ended = turns(places=1), []

    async def request(tenant: str) -> None:
        async with places.turn(tenant):
            await settle()
            ended.append(tenant)

    await asyncio.wait_for(asyncio.gather(*map(request, ("a", "", "b"))), 10)
    assert ended == ["a", "", "b"]


async def test_too_many_of_one_tenant_are_asked_to_come_back() -> None:
    work = Work(turns())
    tasks = await work.start("a1", "a2", "a3", "a4", "a5", "b1")
    with pytest.raises(LimitReached, match="3 requests of this tenant wait for the work"):
        await tasks[4]
    assert work.began == ["a1", "b1"]
    await work.end("a1", "a2", "a3", "a4", "b1")
    assert work.began == ["a1", "b1", "a2", "a3", "a4"]


async def test_nobody_waits_for_ever() -> None:
    work = Work(turns(seconds=0.01))
    tasks = await work.start("a1", "a2")
    with pytest.raises(Unavailable, match="busy"):
        await tasks[1]
    await work.end("a1")
    await work.start("a3")
    assert work.began == ["a1", "a3"]
    await work.end("a3")


@pytest.mark.parametrize("loops", range(5))
@pytest.mark.parametrize("first", ["the end", "the cancellation"])
async def test_one_that_goes_away_takes_no_place_along(first: str, loops: int) -> None:
    """At whatever moment: while it waits, just when its turn comes, or when it has begun."""
    work = Work(turns(places=1))
    tasks = await work.start("a1", "b1", "c1")
    for step in ("the end", "the cancellation") if first == "the end" else ("the cancellation", "the end"):
        if step == "the end":
            work.ends["a1"].set()
        else:
            tasks[1].cancel()
        for _ in range(loops):
            await asyncio.sleep(0)
    await settle()
    assert work.began[-1] == "c1"
    await work.end("c1")
    assert not work.places._used
    assert not work.places._lines


async def test_an_error_inside_gives_the_place_back() -> None:
    places = turns(places=1)
    with pytest.raises(RuntimeError):
        async with places.turn("a"):
            raise RuntimeError
    async with places.turn("b"):
        pass


async def test_a_tenant_has_its_turns_over_all_processes() -> None:
    shared = Shared(2)
    first, second = (Work(turns(held=held_by(shared, slot))) for slot in range(2))
    await first.start("a1", "b1")
    [waits, *_] = await second.start("a2", "a3", "a4", "c1")
    assert (first.began, second.began) == (["a1", "b1"], ["c1"])
    with pytest.raises(LimitReached):
        async with first.places.turn("a"):
            raise AssertionError("more than three wait")
    await first.end("a1")
    for _ in range(6000):  # it is noticed a moment later
        if "a2" in second.began:
            break
        await asyncio.sleep(0.01)
    assert second.began == ["c1", "a2"]
    await second.end("a2")
    await waits
    assert second.began == ["c1", "a2", "a3"]
    await second.end("a3", "a4", "c1")
