"""What operators set for a tenant, on the real server."""

from __future__ import annotations

from gateway.lifecycle import OnUnknown
from gateway.store.jobs import RedisJobStore
from gateway.store.ops_log import RedisOpsLog
from gateway.store.tenants import RedisTenants
from tests.gateway.store.conftest import Accept


async def test_what_a_tenant_chose_is_kept_and_shown(ops_log: RedisOpsLog, tenants: RedisTenants) -> None:
    assert (await tenants.read("acme")).on_unknown is None
    await tenants.change("acme", {"on_unknown": OnUnknown.RESUBMIT}, "key1")
    assert (await tenants.read("acme")).on_unknown is OnUnknown.RESUBMIT
    assert (await tenants.read("zeta")).on_unknown is None
    await tenants.change("acme", {"on_unknown": None}, "key2")
    assert (await tenants.read("acme")).on_unknown is None
    rows = (await ops_log.events(None, 10)).rows
    assert [(row["tenant"], row.get("on_unknown"), row["by"]) for row in rows] == [
        ("acme", "default -> resubmit", "key1"),
        ("acme", "resubmit -> default", "key2"),
    ]


async def test_what_a_tenant_chose_is_what_its_jobs_get(
    jobs: RedisJobStore, tenants: RedisTenants, accept: Accept
) -> None:
    job = await accept()
    await tenants.change("acme", {"on_unknown": OnUnknown.MANUAL}, "key1")
    assert await jobs.on_unknown(job) is OnUnknown.MANUAL
