"""A store on a real server, small limits, and jobs to put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from gateway.dispatch import CallbackLimits, Role, RoleLimits, Ticket
from gateway.environment import Environment
from gateway.jobs import Job
from gateway.lifecycle import JobState
from gateway.resources import Resources
from gateway.store import event_bodies, keys
from gateway.store.accounts import RedisAccounts
from gateway.store.base import AdmissionLimits
from gateway.store.client import connection_pool
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.ops_log import RedisOpsLog
from gateway.store.script_runner import Scripts
from gateway.store.tenants import RedisTenants

Accept = Callable[..., Awaitable[Job]]
ROLES = {
    Role.SUBMIT: RoleLimits(slots=4, lane_slots=2, lease_ms=60_000),
    Role.CONFIRM: RoleLimits(slots=4, lane_slots=4, lease_ms=60_000),
    Role.DELIVER: RoleLimits(slots=4, lane_slots=2, lease_ms=60_000),
    Role.MIRROR: RoleLimits(slots=4, lane_slots=2, lease_ms=60_000),
}
_ENVIRONMENT = Environment()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    pool = connection_pool(redis_url, timeout_seconds=5, retries=0, connections=64)
    client = Redis(connection_pool=pool)
    await client.flushall()
    yield client
    await pool.disconnect()


@pytest.fixture
def scripts(redis: Redis) -> Scripts:
    return Scripts(redis)


@pytest.fixture
def jobs(redis: Redis, scripts: Scripts) -> RedisJobStore:
    return RedisJobStore(redis, scripts, ROLES, CallbackLimits(90_000, 30_000, 604_800_000))


@pytest.fixture
def deliveries(redis: Redis, scripts: Scripts) -> RedisDeliveryStore:
    return RedisDeliveryStore(redis, scripts, ROLES)


@pytest.fixture
def endpoints(redis: Redis, scripts: Scripts) -> RedisEndpointStore:
    return RedisEndpointStore(redis, scripts)


@pytest.fixture
def lanes(scripts: Scripts) -> Lanes:
    return Lanes(scripts, ROLES)


@pytest.fixture
def accounts(redis: Redis, scripts: Scripts) -> RedisAccounts:
    return RedisAccounts(redis, scripts, ROLES)


@pytest.fixture
def ops_log(redis: Redis) -> RedisOpsLog:
    return RedisOpsLog(redis)


@pytest.fixture
def tenants(redis: Redis, scripts: Scripts) -> RedisTenants:
    return RedisTenants(redis, scripts, ROLES)


def store_parts(resources: Resources) -> tuple[Redis, Scripts, Mapping[Role, RoleLimits], CallbackLimits]:
    """What a store of jobs is made of, for those that fail in some way of their own."""
    settings = resources.settings
    return resources.redis, resources.scripts, settings.roles(), settings.callback_limits()


def new_job(tenant: str = "acme", **fields: object) -> Job:
    values: dict[str, object] = {
        "id": _ENVIRONMENT.new_job_id(),
        "tenant": tenant,
        "state": JobState.QUEUED,
        "model": "viduq2_pro_reference",
        "params": {"prompt": "a fox", "images": ["https://cdn.example.com/a.png"], "duration": 0},
        "created_at": _ENVIRONMENT.now_ms(),
    }
    return Job(**{**values, **fields})  # type: ignore[arg-type]


@pytest.fixture
def accept(jobs: RedisJobStore) -> Accept:
    async def accepted(tenant: str = "acme", **fields: object) -> Job:
        job = new_job(tenant, **fields)
        await jobs.accept(job, None, "fingerprint", AdmissionLimits(queue_max=1000))
        return job

    return accepted


async def held(redis: Redis, role: Role, name: str) -> Ticket:
    """The ticket of a piece of work as its newest dispatch holds it."""
    holders = await redis.hgetall(f"{{gw}}:{role}:holders")  # type: ignore[misc]
    for text, number in holders.items():
        if text.endswith(f"|{name}"):
            return Ticket.parse(role, text, int(number))
    raise AssertionError(f"nobody holds {name}")


async def stored_body(redis: Redis, event_id: str) -> str:
    """The bytes of an event as they are sent, however they are stored; "" without one."""
    event: dict[str, str | None] = await redis.hgetall(keys.event(event_id))  # type: ignore[misc]
    return (event_bodies.load(event) or b"").decode()


async def dispatched(redis: Redis, role: Role) -> list[str]:
    """The names of the work that arq may run now, in the order of dispatch."""
    ids = [text.split("|")[1] for text in await redis.zrange(f"{{gw}}:{role}:arq", 0, -1)]
    return [text.rpartition(":")[0] for text in sorted(ids, key=lambda text: int(text.rpartition(":")[2]))]


async def fill(redis: Redis) -> None:
    """Until not even a small value goes in any more."""
    size, number = 1_000_000, 0
    while size:
        try:
            await redis.set(f"ballast:{number}", bytes(size))
            number += 1
        except OutOfMemoryError:
            size //= 10
