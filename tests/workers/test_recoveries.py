"""Recoveries go on in the background, as far as they can, whatever becomes of one of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from gateway.dispatch import Role
from gateway.endpoints import Delivery
from gateway.errors import StoreUnavailable
from gateway.lifecycle import DeliveryState
from gateway.recoveries import Recovery, RecoveryState
from gateway.resources import Resources
from gateway.store.recoveries import RedisRecoveries, Step
from tests.gateway.delivery.subscriber import reply, subscriber
from tests.gateway.store.redelivering import ENDPOINT, Post
from tests.workers.conftest import Rig, end, eventually, leading
from workers import recoveries, runner
from workers.recoveries import Recoverer

AT = 1_795_334_400_000


@pytest.fixture
async def post(resources: Resources) -> Post:
    for name in ("ep_all", "ep_two"):
        await resources.endpoints.create(replace(ENDPOINT, id=name), 50)
    return Post(resources.redis, resources.jobs, resources.deliveries, resources.endpoints)


async def owe(post: Post, count: int) -> list[Delivery]:
    """For both endpoints, so many that are dead."""
    owed: list[Delivery] = []
    for number in range(count):
        first = await post.owe_all(AT + number)
        owed += [await post.attempt(one, "dead") for one in first]
    return owed


async def begin(resources: Resources, endpoint: str) -> Recovery:
    made = Recovery(f"rec_{endpoint}", "acme", endpoint, AT, AT + 1000, AT)
    found = await resources.recoveries.begin(made)
    assert isinstance(found, Recovery)
    return found


def store(resources: Resources, **limits: int) -> RedisRecoveries:
    """One that takes small steps."""
    roles = resources.settings.roles()
    return RedisRecoveries(resources.redis, resources.scripts, roles, 3600, **limits)


async def state(resources: Resources, endpoint: str) -> RecoveryState:
    found = await resources.recoveries.read("acme", f"rec_{endpoint}")
    assert found
    return found.state


async def test_one_pass_takes_each_as_far_as_it_can_go(resources: Resources, post: Post) -> None:
    owed = await owe(post, 5)
    for endpoint in ("ep_all", "ep_two"):
        await begin(resources, endpoint)
    recoverer = Recoverer(store(resources, batch=2))
    with capture_logs() as logged:
        assert await recoverer.advance() == 10
    assert {(await post.read(one)).state for one in owed} == {DeliveryState.PENDING}
    assert [line["recovery"] for line in logged if line["event"] == "recovery_over"] == [
        "rec_ep_all",
        "rec_ep_two",
    ]
    assert await recoverer.advance() == 0


async def test_one_that_must_wait_holds_up_no_other_and_goes_on_later(
    resources: Resources, post: Post
) -> None:
    owed = await owe(post, 14)
    for endpoint in ("ep_all", "ep_two"):
        await begin(resources, endpoint)
    first = await Recoverer(store(resources, batch=1, most_waiting=1)).advance()
    assert 2 < first < 28
    assert await state(resources, "ep_all") is await state(resources, "ep_two") is RecoveryState.RUNNING
    assert await Recoverer(store(resources)).advance() == 28 - first
    assert {(await post.read(one)).state for one in owed} == {DeliveryState.PENDING}


async def test_an_unreadable_one_stops_no_other(resources: Resources, post: Post) -> None:
    await owe(post, 1)
    for endpoint in ("ep_all", "ep_two"):
        await begin(resources, endpoint)
    await resources.redis.hset("{gw}:recovery:rec_ep_all", "states", "?")  # type: ignore[misc]
    with capture_logs() as logged:
        assert await Recoverer(resources.recoveries).advance() == 1
    assert await state(resources, "ep_two") is RecoveryState.DONE
    assert [line["recovery"] for line in logged if line["event"] == "recovery_stuck"] == ["rec_ep_all"]


async def test_redis_being_away_ends_a_pass_and_never_the_loop(
    resources: Resources, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recoveries, "PAUSE_SECONDS", 0.001)
    advance, away = RedisRecoveries.advance, [True, True]

    async def failing(self: RedisRecoveries, name: str) -> Step:
        if away:
            away.pop()
            raise StoreUnavailable("Redis does not answer")
        return await advance(self, name)

    monkeypatch.setattr(RedisRecoveries, "advance", failing)
    await owe(post, 1)
    await begin(resources, "ep_all")

    async def done() -> bool:
        return await state(resources, "ep_all") is RecoveryState.DONE

    with capture_logs() as logged:
        running = asyncio.create_task(Recoverer(resources.recoveries).run(leading()))
        await eventually(done)
        await end(running)
    was_logged = [line["event"] for line in logged if line["event"].startswith("recoveries_")]
    assert was_logged == ["recoveries_cut_short", "recoveries_back"]


async def test_a_worker_process_sends_again_what_is_recovered(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "HttpUpstream", lambda *_, **__: rig.upstream)
    r = rig.resources
    made = Post(r.redis, r.jobs, r.deliveries, r.endpoints)
    async with subscriber(reply(200)) as served:
        endpoint = await rig.endpoint(served.url)
        owed = await made.attempt(await made.owe(AT), "dead")
        await begin(r, endpoint.id)
        stop = asyncio.Event()
        serving = asyncio.create_task(runner.serve(r.settings, [Role.DELIVER], stop))

        async def was_logged() -> bool:
            return (await made.read(owed)).state is DeliveryState.DELIVERED

        try:
            await eventually(was_logged)
        finally:
            stop.set()
            await asyncio.wait([serving], timeout=5)
            await end(serving)
    [(head, _)] = served.requests
    assert f"webhook-id: {owed.event_id}\r\n".encode() in head
    seen = await made.read(owed)
    assert (seen.attempts, seen.since, seen.trigger) == (2, 1, "recovery")
    assert await state(r, endpoint.id) is RecoveryState.DONE
