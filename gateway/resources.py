"""The composition root of both processes: builds everything that they share from the settings."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from redis.asyncio import ConnectionPool, Redis

from gateway import crash_points
from gateway.dispatch import Role
from gateway.doors.base import Link, ResultLinks
from gateway.environment import Environment
from gateway.generation.inspection import can_inspect
from gateway.intake import Intake, inspections
from gateway.keyring import Keyring
from gateway.local.shared_memory import Shared
from gateway.media.base import MediaStore
from gateway.media.inline import InlineFiles
from gateway.media.links import MediaLinks
from gateway.media.opening import open_store
from gateway.money.told import CostReader
from gateway.settings import Settings
from gateway.settlement import Mirroring, Settlement
from gateway.store.accounts import RedisAccounts
from gateway.store.admission import RateMeter
from gateway.store.archive_cleanup import ArchiveCleanup
from gateway.store.archive_reader import Archived
from gateway.store.archive_writer import RedisArchive
from gateway.store.assets import RedisAssets
from gateway.store.base import AdmissionLimits
from gateway.store.client import connection_pool
from gateway.store.client_keys import RedisKeyStore
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.durations import RedisDurations
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.event_log import RedisTenantEvents
from gateway.store.function_loader import keeping_library
from gateway.store.job_history import RedisJobHistory
from gateway.store.jobs import RedisJobStore
from gateway.store.lane_views import RedisLaneViews
from gateway.store.lanes import Lanes
from gateway.store.money_stores import MoneyStores, money_stores
from gateway.store.notifications import Notifications
from gateway.store.operator_audit import RedisAudit
from gateway.store.ops_log import RedisOpsLog
from gateway.store.recoveries import RedisRecoveries
from gateway.store.retention import RedisRetention
from gateway.store.samples import RedisSamples
from gateway.store.script_runner import Scripts
from gateway.store.sessions import RedisSessions
from gateway.store.snapshot import RedisGauges
from gateway.store.tenants import RedisTenants
from gateway.store.unknown_jobs import RedisUnknownJobs
from gateway.store.uploads import RedisUploads
from gateway.store.workers import RedisWorkers
from gateway.telemetry import tracing
from gateway.telemetry.tracing import Tracer
from gateway.uploads import UploadLimits
from gateway.uploads.use import UsesOfUploads

#: The thresholds of Python's garbage collector. A request makes hundreds of short-lived objects; with the
#: default of 700 the collector would run several times for each request.
_COLLECT_AFTER: Final = (20_000, 20, 20)
_DYING_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class Resources(MoneyStores):
    settings: Settings
    tracer: Tracer
    environment: Environment
    keyring: Keyring
    redis: Redis
    scripts: Scripts
    jobs: RedisJobStore
    lanes: Lanes
    deliveries: RedisDeliveryStore
    endpoints: RedisEndpointStore
    recoveries: RedisRecoveries
    rate_meter: RateMeter
    durations: RedisDurations
    client_keys: RedisKeyStore
    sessions: RedisSessions
    gauges: RedisGauges
    samples: RedisSamples
    lane_views: RedisLaneViews
    workers: RedisWorkers
    notifications: Notifications
    tenant_events: RedisTenantEvents
    media: MediaStore
    inline_files: InlineFiles
    uploads: RedisUploads
    media_links: MediaLinks
    assets: RedisAssets
    intake: Intake
    settlement: Settlement
    result_link: Link
    accounts: RedisAccounts
    tenants: RedisTenants
    ops_log: RedisOpsLog
    unknown_jobs: RedisUnknownJobs
    job_history: RedisJobHistory
    audit: RedisAudit
    retention: RedisRetention
    archive: RedisArchive
    archive_cleanup: ArchiveCleanup


@contextlib.asynccontextmanager
async def open_resources(
    settings: Settings,
    *,
    retries: int,
    service: str = "vidu-gateway",
    shared: Shared | None = None,
    makes_marker: bool = True,
) -> AsyncIterator[Resources]:
    """`retries`: how often a command is sent again after its connection broke. The gateway retries little,
    because it must answer 503 soon; a worker retries more, because no client waits for it. `shared`: with the
    other processes of this gateway. `makes_marker`: of the media store; false in workers."""
    pool = connection_pool(
        settings.redis_url,
        timeout_seconds=settings.redis_timeout_seconds,
        retries=retries,
        connections=256,
        acknowledgements=settings.durability_demand().acknowledgements,
    )
    try:
        media = open_store(settings.media_location(), settings.disk_watermark, makes_marker=makes_marker)
        resources = build(settings, pool, service, shared or Shared(), InlineFiles(media))
        # These objects stay for the life of the process. Each time the collector walks them, the process
        # stops for 50 ms.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        try:
            async with keeping_library(resources.scripts.loader):
                yield resources
        finally:
            resources.tracer.close()
    finally:
        await pool.disconnect()


def mirroring_of(settings: Settings) -> Mirroring | None:
    """How results are copied; None if they are not."""
    return Mirroring(int(settings.result_life_seconds * 1000), can_inspect()) if settings.mirror else None


def dying_ms_of(settings: Settings) -> int:
    """How long before it is taken to be dead an address counts as dying: a quarter of its life, at most
    fifteen minutes."""
    return int(min(settings.result_life_seconds / 4, _DYING_SECONDS) * 1000)


def build(
    settings: Settings, pool: ConnectionPool, service: str, shared: Shared, inline_files: InlineFiles
) -> Resources:
    environment = Environment(reach=crash_points.make_reach(settings.crash_points))
    redis = Redis(connection_pool=pool)
    scripts = Scripts(redis, environment.reach)
    roles = settings.roles()
    archived = Archived(inline_files.store, redis)
    archive = RedisArchive(redis, scripts, inline_files.store, environment, settings.archive_after_seconds)
    jobs = RedisJobStore(redis, scripts, roles, settings.callback_limits(), archived)
    keyring = settings.keyring()
    link = ResultLinks(keyring, settings.client_url, settings.retention_seconds).of
    uploads = RedisUploads(redis, scripts, _upload_limits(settings))
    return Resources(
        *money_stores(redis, scripts, inline_files.store, environment, settings.ledger_days),
        settings=settings,
        tracer=tracing.make_tracer(on=settings.otel, service=service),
        environment=environment,
        keyring=keyring,
        redis=redis,
        scripts=scripts,
        jobs=jobs,
        lanes=Lanes(scripts, roles),
        deliveries=RedisDeliveryStore(redis, scripts, roles, settings.tenant_bytes_max, archived),
        endpoints=RedisEndpointStore(redis, scripts, settings.tenant_bytes_max),
        recoveries=RedisRecoveries(
            redis, scripts, roles, settings.retention_seconds, rate=settings.recovery_rate
        ),
        rate_meter=RateMeter(scripts, settings.tenant_rate, settings.tenant_burst),
        durations=RedisDurations(scripts),
        client_keys=RedisKeyStore(redis, scripts, environment.monotonic),
        sessions=RedisSessions(redis, scripts),
        gauges=_gauges(settings, redis, environment, archive),
        samples=RedisSamples(redis, scripts),
        lane_views=RedisLaneViews(redis),
        workers=RedisWorkers(redis, scripts),
        notifications=Notifications(redis),
        tenant_events=RedisTenantEvents(redis, settings.client_url, archived, settings.currency),
        media=inline_files.store,
        inline_files=inline_files,
        uploads=uploads,
        media_links=settings.media_links(),
        assets=RedisAssets(redis, scripts, roles, settings.tenant_results_bytes_max),
        intake=_intake(settings, jobs, inline_files, environment, uploads, shared),
        settlement=_settlement(settings, jobs, inline_files, environment, link),
        result_link=link,
        accounts=RedisAccounts(redis, scripts, roles),
        tenants=RedisTenants(redis, scripts, roles),
        ops_log=RedisOpsLog(redis),
        unknown_jobs=RedisUnknownJobs(redis),
        job_history=RedisJobHistory(scripts, archived),
        audit=RedisAudit(redis, scripts, archived),
        retention=_retention(settings, redis, scripts),
        archive=archive,
        archive_cleanup=ArchiveCleanup(
            redis, scripts, inline_files.store, environment, settings.retention_seconds
        ),
    )


def _gauges(settings: Settings, redis: Redis, environment: Environment, archive: RedisArchive) -> RedisGauges:
    return RedisGauges(
        redis,
        environment.monotonic,
        settings.roles()[Role.SUBMIT],
        dying_ms_of(settings),
        archive.walk if settings.archive_after_seconds else None,
    )


def _intake(
    settings: Settings,
    jobs: RedisJobStore,
    inline_files: InlineFiles,
    environment: Environment,
    uploads: RedisUploads,
    shared: Shared,
) -> Intake:
    return Intake(
        jobs,
        inline_files,
        settings.limits(),
        environment,
        _admission_limits(settings),
        settings.deadlines(),
        inspections(shared.held),
        uploads=UsesOfUploads(uploads, fetchable=bool(settings.public_url)),
        dialect=settings.upstream_dialect,
    )


def _retention(settings: Settings, redis: Redis, scripts: Scripts) -> RedisRetention:
    return RedisRetention(
        redis,
        scripts,
        settings.retention_seconds,
        settings.audit_days,
        deliveries_seconds=settings.deliveries_kept_seconds,
        claims_seconds=settings.claims_kept_seconds,
    )


def _upload_limits(settings: Settings) -> UploadLimits:
    return UploadLimits(
        settings.tenant_uploads_bytes_max,
        settings.tenant_uploads_max,
        int(settings.upload_life_seconds * 1000),
    )


def _admission_limits(settings: Settings) -> AdmissionLimits:
    return AdmissionLimits(
        settings.tenant_queue_max,
        settings.tenant_bytes_max,
        settings.tenant_media_bytes_max,
        settings.tenant_rate,
        settings.tenant_burst,
    )


def _settlement(
    settings: Settings, jobs: RedisJobStore, inline_files: InlineFiles, environment: Environment, link: Link
) -> Settlement:
    late_watch_ms = int(settings.late_watch_seconds * 1000)
    base, mirroring = settings.client_url, mirroring_of(settings)
    return Settlement(
        *(jobs, inline_files, environment, late_watch_ms),
        link=link,
        client_url=base,
        currency=settings.currency,
        mirroring=mirroring,
        costs=CostReader(settings.currency, settings.credit_price),
    )
