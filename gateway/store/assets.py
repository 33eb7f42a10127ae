"""Assets on Redis: attempts to copy them, and the end of the copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis

from gateway.assets import NOT_OURS, Asset, AssetState, Variant, without_copy
from gateway.dispatch import Role, Ticket
from gateway.events import EventType
from gateway.jobs import Job, mirror_ticket
from gateway.store import arguments, keys
from gateway.store.client import store_errors
from gateway.store.effect_base import given
from gateway.store.job_fields import from_fields
from gateway.store.script_runner import Scripts


class Recorded(StrEnum):
    """The outcome of `RedisAssets.record`."""

    RECORDED = "recorded"
    FULL = "full"  #: the tenant has no room for the copy; nothing was written
    STALE = "stale"  #: another worker has the ticket
    MISSING = "missing"  #: the job is gone, and its ticket with it


class RedisAssets:
    """Every call may raise StoreUnavailable, and can be repeated. `most`: bytes of copies that one tenant may
    have."""

    def __init__(self, redis: Redis, scripts: Scripts, roles: arguments.Roles, most: int) -> None:
        self._redis = redis
        self._scripts = scripts
        self._roles = roles
        self._most = most

    async def begin(self, ticket: Ticket) -> Job | None:
        """Starts an attempt and its lease. None when the ticket is stale or the job is gone. `ticket.name`:
        `<job>:<variant>`."""
        name = ticket.name.partition(":")[0]
        lease = self._roles[Role.MIRROR].lease_ms
        args: list[str | int] = [ticket.role, str(ticket), ticket.dispatch_number, lease]
        found = await self._scripts.run("begin", [keys.job(name)], args, effect="begin_copy")
        return from_fields(name, arguments.pairs(found[0])) if found and found[0] else None

    async def has_room(self, tenant: str, more: int) -> bool:
        """Whether the tenant may have `more` bytes of copies, and at least one."""
        with store_errors():
            used = await self._redis.hget(keys.tenant_usage(tenant), "results")  # type: ignore[misc]
        return int(used or 0) + max(1, more) <= self._most

    async def record(
        self,
        ticket: Ticket,
        job: Job,
        variant: Variant,
        asset: Asset,
        *,
        retry_in_ms: int | None = None,
        enters: Sequence[Variant] = (),
        gives_up: Mapping[Variant, Asset] | None = None,
        tally: Sequence[str] = (),
    ) -> Recorded:
        """Records an attempt. `asset`: as it is afterwards. `retry_in_ms`: None for no further attempt.
        `enters`: variants that can be copied from now on; `gives_up`: assets that never can."""
        place: dict[str, Any] = {}
        if asset.state is AssetState.STORED:
            place["stored"] = {"size": asset.size, "expires_at": asset.expires_at}
        elif asset.state is AssetState.PENDING:
            place["pending"] = given(dies_at=None if asset.reason in NOT_OURS else asset.dies_at)
        order = given(
            name=job.id,
            variant=variant,
            holder=arguments.holder(ticket),
            asset=asset.dump().decode(),
            place=place,
            in_ms=retry_in_ms,
            most=self._most,
            enters=[str(mirror_ticket(job, one)) for one in enters],
            gives_up=[
                {"variant": one, "asset": lost.dump().decode()} for one, lost in (gives_up or {}).items()
            ],
            video=Variant.VIDEO,
            variants=list(Variant),
            mirrored=EventType.MIRRORED,
            tally=list(tally),
            dispatch=arguments.limits_of(self._roles, Role.MIRROR, Role.DELIVER),
        )
        return Recorded(await self._scripts.run("record_copy", [keys.job(job.id)], [arguments.dump(order)]))

    async def expired(self, limit: int, skip: int = 0) -> list[tuple[str, Variant]]:
        """Job and variant of copies whose time has passed, oldest first, without the first `skip`."""
        with store_errors():
            seconds, _ = await self._redis.time()
            found: list[str] = await self._redis.zrangebyscore(
                keys.ASSETS, "-inf", seconds * 1000, skip, limit
            )
        return [(name, Variant(word)) for name, _, word in (one.partition(":") for one in found)]

    async def expire(self, job_id: str, variant: Variant, asset: Asset | None) -> bool:
        """Records that the copy was deleted. `asset`: as it was stored; None if the job is gone."""
        gone = b"" if asset is None else without_copy(asset).dump()
        return bool(await self._scripts.run("expire_asset", [keys.job(job_id)], [job_id, variant, gone]))

    async def delete(self, job: Job, *, with_job: bool = False) -> bool:
        """Records that the owner deleted all files of the job, and `with_job` the job for APIs that can
        delete one. `job`: as it was read before that. False if an asset has changed since: read it again."""
        after = [
            {
                "variant": variant,
                "state": asset.state,
                "key": asset.key or "",
                "text": without_copy(asset, by_owner=True).dump().decode(),
            }
            for variant, asset in job.assets.items()
        ]
        order = arguments.dump({"name": job.id, "assets": after, "job": with_job})
        return bool(await self._scripts.run("delete_assets", [keys.job(job.id)], [order]))

    async def known(self, job_ids: Sequence[str]) -> set[str]:
        """Those of these jobs that exist."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in job_ids:
                    pipe.exists(keys.job(job_id))
                found: list[int] = await pipe.execute()
        return {job_id for job_id, exists in zip(job_ids, found, strict=True) if exists}
