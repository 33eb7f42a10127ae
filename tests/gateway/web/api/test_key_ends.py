"""Whatever ends a key ends what its clients wait for: event streams, waits and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.errors import ScopeMissing, StoreUnavailable
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.store import client_keys, keys
from gateway.store.client_keys import RedisKeyStore
from gateway.store.notifications import WakeSignal
from gateway.tenants import Key, Scope
from gateway.web import key_watch
from gateway.web.key_watch import KeyWatch
from tests.gateway.web.api.hearing import SECONDS, Serving, events_of, hearing, post, serving
from tests.gateway.web.api.test_events_life import become
from tests.gateway.web.conftest import BODY, MakeKey

End = Callable[[Resources, Key], Awaitable[None]]


@pytest.fixture
def server(settings: Settings, empty_redis: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    monkeypatch.setattr(key_watch, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(client_keys, "REMEMBERED_SECONDS", 0.0)
    with serving(settings) as found:
        yield found


async def revoke(resources: Resources, key: Key) -> None:
    await resources.client_keys.revoke(key.id, resources.environment.now_ms(), by="key1")


async def rotate_without_overlap(resources: Resources, key: Key) -> None:
    new = replace(key, id="f" * 12, replaces=key.id)
    await resources.client_keys.add(new, resources.environment.now_ms(), by="key1")


async def take_the_scopes(resources: Resources, key: Key) -> None:
    await resources.redis.hset(keys.client_key(key.id), "scopes", "endpoints:write")  # type: ignore[misc]


async def let_it_expire(resources: Resources, key: Key) -> None:
    soon = resources.environment.now_ms() + 200
    await resources.redis.hset(keys.client_key(key.id), "expires_at", str(soon))  # type: ignore[misc]


async def delete(resources: Resources, key: Key) -> None:
    await resources.redis.delete(keys.client_key(key.id))


ENDS: list[tuple[End, str, int]] = [
    (revoke, "revoked", 401),
    (rotate_without_overlap, "expired", 401),
    (let_it_expire, "expired", 401),
    (delete, "revoked", 401),
    (take_the_scopes, "scope", 403),
]


async def key_of(resources: Resources, text: str) -> Key:
    found = await resources.client_keys.lookup(text.split("_")[1])
    assert found is not None
    return found


@pytest.mark.parametrize(("end", "why", "status"), ENDS)
async def test_the_end_of_a_key_ends_its_streams_and_waits(
    server: Serving, resources: Resources, make_key: MakeKey, end: End, why: str, status: int
) -> None:
    text, other = await make_key(), await make_key()
    job = await post(resources)
    theirs = {"Authorization": f"Bearer {text}"}
    async with (
        httpx.AsyncClient(base_url=server.url, headers=theirs, timeout=2 * SECONDS) as client,
        hearing(server.url, text) as stream,
        hearing(server.url, text, f"/v1/jobs/{job.id}/events") as of_job,
        hearing(server.url, other) as untouched,
    ):
        wait = asyncio.create_task(client.get(f"/v1/jobs/{job.id}?wait=60"))
        posted = asyncio.create_task(client.post("/v1/jobs", json=BODY, headers={"Prefer": "wait=60"}))
        await become(lambda: len(server.state.key_watch._watched.get(text.split("_")[1], ())) == 4)
        await end(resources, await key_of(resources, text))
        for ear in (stream, of_job):
            assert why in (await ear.to_the_end())[-1].comments[0]
        refused = await wait
        assert (refused.status_code, why in refused.json()["detail"]) == (status, True)
        accepted = await posted
        assert accepted.status_code == 202
        assert await resources.jobs.read(accepted.json()["id"]) is not None
        assert (await client.get("/v1/jobs")).status_code == status
        newest = await post(resources)
        heard = events_of([await untouched.message() for _ in range(2)])
        assert heard == [("job.queued", accepted.json()["id"]), ("job.queued", newest.id)]
    await become(lambda: not server.state.key_watch._watched and not server.state.key_watch._known)


async def test_a_stream_that_is_behind_ends_too(
    server: Serving, resources: Resources, make_key: MakeKey
) -> None:
    text = await make_key()
    for _ in range(5):
        await post(resources)
    async with hearing(server.url, text, "/v1/events?after=0") as stream:
        await revoke(resources, await key_of(resources, text))
        blocks = await stream.to_the_end()
    assert "revoked" in blocks[-1].comments[0]


def test_a_key_that_was_revoked_or_expired_is_used_for_less_than_five_seconds() -> None:
    assert client_keys.REMEMBERED_SECONDS + key_watch.CHECK_SECONDS < 5


class Counting:
    """A store of keys that counts what it is asked; `away`: it does not answer."""

    def __init__(self, *known: Key) -> None:
        self.known = {key.id: key for key in known}
        self.asked: list[list[str]] = []
        self.away = False

    async def fresh(self, key_ids: Sequence[str]) -> list[Key]:
        self.asked.append(sorted(key_ids))
        if self.away:
            raise StoreUnavailable("away")
        return [self.known[key_id] for key_id in key_ids if key_id in self.known]


def a_key(name: str, expires_at: int | None = None) -> Key:
    return Key(name, "acme", frozenset({Scope.JOBS_READ}), "", "test", 1, expires_at=expires_at)


@pytest.mark.parametrize(
    ("becomes", "why"),
    [
        (None, "this key was revoked"),
        ({"revoked_at": 9}, "this key was revoked"),
        ({"expires_at": 9}, "this key has expired"),
        ({"scopes": frozenset({Scope.ENDPOINTS_WRITE})}, str(ScopeMissing(Scope.JOBS_READ))),
    ],
)
async def test_whatever_ends_a_key_is_noticed_at_its_next_reading(
    becomes: dict[str, Any] | None, why: str
) -> None:
    mine = a_key("mine")
    store = Counting() if becomes is None else Counting(replace(mine, **becomes))
    watch = KeyWatch(store, lambda: 10)  # type: ignore[arg-type]
    with watch.watching(mine, Scope.JOBS_READ, WakeSignal()) as watched:
        await watch._read(["mine"])
        watch._end()
        assert str(watched.ended) == why


async def test_a_key_is_read_once_however_many_wait_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_watch, "CHECK_SECONDS", 0.01)
    mine, other = a_key("mine"), a_key("other")
    store = Counting(mine, other)
    watch = KeyWatch(store, lambda: 5)  # type: ignore[arg-type]
    signals = [WakeSignal() for _ in range(1000)]
    async with watch:
        with watch.watching(other, Scope.JOBS_READ, WakeSignal()):
            held = [watch.watching(mine, Scope.JOBS_READ, signal) for signal in signals]
            watched = [one.__enter__() for one in held]
            await become(lambda: len(store.asked) >= 3)
            assert {tuple(names) for names in store.asked} == {("mine", "other")}
            assert not any(signal.notified for signal in signals)
            del store.known["mine"]
            await become(lambda: all(signal.notified for signal in signals))
            assert {str(one.ended) for one in watched} == {"this key was revoked"}
            for one in held:
                one.__exit__(None, None, None)
    assert not watch._watched


async def test_while_redis_is_down_keys_go_on_until_they_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_watch, "CHECK_SECONDS", 0.01)
    store, now = Counting(), [5]
    store.away = True
    async with KeyWatch(store, lambda: now[0]) as watch:  # type: ignore[arg-type]
        with watch.watching(a_key("mine", expires_at=10), Scope.JOBS_READ, WakeSignal()) as watched:
            await become(lambda: len(store.asked) >= 3)
            assert watched.ended is None
            now[0] = 10
            await become(lambda: str(watched.ended) == "this key has expired")


async def test_a_record_that_cannot_be_read_ends_its_own_clients_alone(
    resources: Resources, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_watch, "CHECK_SECONDS", 0.01)
    broken, whole, revoked = [await key_of(resources, await make_key()) for _ in range(3)]
    await resources.redis.hset(keys.client_key(broken.id), "expires_at", "soon")  # type: ignore[misc]
    async with KeyWatch(resources.client_keys, lambda: 5) as watch:
        with (
            watch.watching(broken, Scope.JOBS_READ, WakeSignal()) as lost,
            watch.watching(whole, Scope.JOBS_READ, WakeSignal()) as kept,
            watch.watching(revoked, Scope.JOBS_READ, WakeSignal()) as ended,
        ):
            await become(lambda: lost.ended is not None)
            await revoke(resources, revoked)
            await become(lambda: ended.ended is not None)
            assert kept.ended is None


async def test_this_process_refuses_a_rotated_key_at_once(resources: Resources, make_key: MakeKey) -> None:
    store: RedisKeyStore = resources.client_keys
    key = await key_of(resources, await make_key())
    assert await store.find(key.id) == key
    await store.add(replace(key, id="f" * 12, replaces=key.id), 7, by="key1")
    assert await store.find(key.id) == replace(key, expires_at=7)
