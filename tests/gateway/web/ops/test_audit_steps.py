"""An operator's action and its audit entry are one step: no crash can happen between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette

from gateway.commands import keys as key_commands
from gateway.dispatch import Role, Ticket
from gateway.jobs import Job
from gateway.lifecycle import JobEvent
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.effects import HoldSlot, PollAfter
from gateway.store.exchange import Word
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Transition
from gateway.tenants import Scope
from tests.gateway.web.conftest import BODY, MakeKey, connected
from tests.gateway.web.ops.test_queues import make_dead_letter
from tests.gateway.web.pages.conftest import TOKEN, sign_in

Send = Callable[..., Awaitable[httpx.Response]]
URL_LANE = f"url-{'0' * 20}"
_LOGS = (keys.AUDIT, keys.OPS_EVENTS)


async def stored(redis: Redis) -> dict[str, str]:
    """Everything that is stored, but the logs and the time when a key was last used."""
    found: dict[str, str] = {}
    async for name in redis.scan_iter("{gw}:*"):
        if name.startswith("{gw}:key:") and not name.endswith(":sessions"):
            fields = await redis.hgetall(name)  # type: ignore[misc]
            found[name] = repr(sorted(one for one in fields.items() if one[0] != "last_used_at"))
        elif name not in _LOGS:
            found[name] = repr(await contents(redis, name))
    return found


async def contents(redis: Redis, name: str) -> Any:
    match await redis.type(name):
        case "hash":
            return sorted((await redis.hgetall(name)).items())  # type: ignore[misc]
        case "set":
            return sorted(await redis.smembers(name))  # type: ignore[misc]
        case "zset":
            return await redis.zrange(name, 0, -1, withscores=True)
        case "list":
            return await redis.lrange(name, 0, -1)  # type: ignore[misc]
        case "stream":
            return await redis.xrange(name)
        case _:
            return await redis.get(name)


class Steps:
    """What each script changed. `seen`: (whether anything but the logs changed, new audit entries)."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.seen: list[tuple[bool, int]] = []
        self.last: dict[str, str] = {}

    async def begin(self) -> None:
        self.seen, self.last = [], await stored(self.redis)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run = Scripts.run

        async def watched(
            scripts: Scripts, verb: str, names: Sequence[str], args: Sequence[Word], **more: Any
        ) -> Any:
            before, audited = await stored(self.redis), await self.redis.xlen(keys.AUDIT)
            answer = await run(scripts, verb, names, args, **more)
            self.last = await stored(self.redis)
            self.seen.append((self.last != before, await self.redis.xlen(keys.AUDIT) - audited))
            return answer

        monkeypatch.setattr(Scripts, "run", watched)

    async def are_whole(self) -> None:
        """Whatever changed, changed together with one audit entry, and nothing changed beside the scripts."""
        writes = [seen for seen in self.seen if seen != (False, 0)]
        assert writes
        assert set(writes) == {(True, 1)}
        assert await stored(self.redis) == self.last


@pytest.fixture
async def operator(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(app, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])) as opened:
        yield opened


@pytest.fixture
def steps(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> Steps:
    found = Steps(resources.redis)
    found.watch(monkeypatch)
    return found


async def unknown(client: httpx.AsyncClient, resources: Resources) -> Job:
    name = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    number = await resources.redis.hget("{gw}:submit:holders", f"acme|{name}")  # type: ignore[misc]
    job = await resources.jobs.claim(Ticket(Role.SUBMIT, "acme", name, int(number or 0)), "run-1")
    assert job is not None
    assert await resources.jobs.release(job)
    effects = [HoldSlot(), PollAfter(600_000)]
    await resources.jobs.apply(job, Transition(JobEvent.OUTCOME_LOST, effects=effects))
    return job


AUDITED = [
    [("/ops/api/pause", {"reason": "x"}), ("/ops/api/resume", None)],
    [("/ops/api/accounts/main/pause", {"reason": "x"}), ("/ops/api/accounts/main/resume", None)],
    [("/ops/api/tenants", {"tenant": "acme", "weight": 3})],
    [("/ops/api/tenants/acme/pause", {"reason": "x"}), ("/ops/api/tenants/acme/resume", None)],
    [
        ("/ops/api/subscribers/pause", {"subscriber": URL_LANE, "reason": "x"}),
        ("/ops/api/subscribers/resume", {"subscriber": URL_LANE}),
    ],
    [
        ("/ops/api/subscribers/pause", {"subscriber": URL_LANE, "reason": "x", "seconds": 60}),
        ("/ops/api/subscribers/resume", {"all": True}),
    ],
]


@pytest.mark.parametrize("acts", AUDITED, ids=lambda acts: acts[0][0])
async def test_what_an_operator_pauses_resumes_or_sets_is_audited_in_the_same_step(
    operator: httpx.AsyncClient, steps: Steps, acts: list[tuple[str, Any]]
) -> None:
    for path, body in acts:
        await steps.begin()
        done = await operator.post(path, json=body)
        assert done.is_success, done.text
        await steps.are_whole()


async def test_keys_are_made_rotated_and_revoked_in_the_step_that_audits_it(
    operator: httpx.AsyncClient, steps: Steps
) -> None:
    await steps.begin()
    made = (await operator.post("/ops/api/tenants/acme/keys", json={"name": "a service"})).json()
    await steps.are_whole()
    for path, body in (("rotate", {"overlap_seconds": 60}), ("revoke", None)):
        await steps.begin()
        done = await operator.post(f"/ops/api/keys/{made['id']}/{path}", json=body)
        assert done.is_success, done.text
        await steps.are_whole()


async def test_the_command_line_audits_the_keys_that_it_makes_rotates_and_revokes(
    resources: Resources, redis_url: str, empty_redis: None
) -> None:
    ring = resources.keyring
    made = await asyncio.to_thread(
        key_commands.create, redis_url, ring, "acme", [Scope.JOBS_READ], "a service"
    )
    again = await asyncio.to_thread(key_commands.rotate, redis_url, ring, made.key_id, 60)
    await asyncio.to_thread(key_commands.revoke, redis_url, again.key_id)
    found = (await resources.audit.page(None, 10)).rows[::-1]
    assert [(one["act"], one["by"], one["tenant"], one["key"]) for one in found] == [
        ("key_made", "command line", "acme", made.key_id),
        ("key_made", "command line", "acme", again.key_id),
        ("key_revoked", "command line", "acme", again.key_id),
    ]
    assert found[1]["replaces"] == made.key_id


async def test_dead_letters_are_redelivered_in_the_step_that_audits_it(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, steps: Steps, resources: Resources
) -> None:
    one = await make_dead_letter(client, resources)
    await make_dead_letter(client, resources)
    for path, body in ((f"deliveries/{one}/redeliver", None), ("dead-letters/redeliver", {"number": 9})):
        await steps.begin()
        done = await operator.post(f"/ops/api/{path}", json=body)
        assert done.is_success, done.text
        await steps.are_whole()


async def test_what_an_endpoint_missed_is_recovered_in_the_step_that_audits_it(
    app: Starlette, client: httpx.AsyncClient, make_key: MakeKey, steps: Steps
) -> None:
    made = (await client.post("/v1/endpoints", json={"url": "http://127.0.0.1:9000/hook"})).json()
    async with connected(app) as browser:
        await sign_in(browser, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE]))
        [token, *_] = TOKEN.findall((await browser.get("/ops/upstream")).text)
        await steps.begin()
        done = await browser.post(f"/ops/endpoints/{made['id']}/recover", data={"token": token})
        assert done.headers["location"].endswith("said=recovering")
        await steps.are_whole()


async def test_a_job_is_canceled_in_the_step_that_audits_it(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, steps: Steps
) -> None:
    name = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    await steps.begin()
    assert (await operator.post(f"/ops/api/jobs/{name}/cancel")).is_success
    await steps.are_whole()


@pytest.mark.parametrize(
    "decision", [{"action": "bind", "task_id": "t"}, {"action": "resubmit"}, {"action": "fail"}]
)
async def test_an_unknown_job_is_resolved_in_the_step_that_audits_it(
    client: httpx.AsyncClient,
    operator: httpx.AsyncClient,
    steps: Steps,
    resources: Resources,
    decision: dict[str, str],
) -> None:
    job = await unknown(client, resources)
    await steps.begin()
    assert (await operator.post(f"/ops/api/jobs/{job.id}/resolve", json=decision)).is_success
    await steps.are_whole()


async def test_a_job_that_its_owner_cancels_is_no_audit_entry(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    name = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    assert (await client.post(f"/v1/jobs/{name}/cancel")).is_success
    assert (await resources.audit.page(None, 10)).rows == []
