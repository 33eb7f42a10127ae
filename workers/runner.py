"""The workers of one process: an arq worker per role, the background tasks, and their orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog
from arq.connections import ArqRedis
from arq.worker import func

from gateway.background import cancel_all
from gateway.delivery.download import Downloader, open_result_guard
from gateway.delivery.guard import SystemResolver, open_guard
from gateway.delivery.http import Deliverer
from gateway.delivery.names import NameService
from gateway.dispatch import ACCOUNT, Role, queue_name
from gateway.errors import StoreUnavailable
from gateway.media.opening import tend
from gateway.resources import Resources, open_resources
from gateway.settings import Settings
from gateway.settings.accounts import UpstreamAccount
from gateway.store import keys
from gateway.store.client import connection_pool, store_errors
from gateway.store.located import locator_of
from gateway.telemetry.logs import Outage
from gateway.upstream import dialects
from gateway.upstream.http import HttpUpstream
from workers.archive import Archiver
from workers.arq_worker import WakeWorker, token
from workers.confirm import Confirmer
from workers.copy_retention import CopyRetention
from workers.deliver import DeliveryWorker
from workers.dispatcher import Dispatcher
from workers.heartbeat import Heartbeat
from workers.ledger import LedgerKeeper
from workers.mirror import Mirrorer
from workers.probe import Prober
from workers.recoveries import Recoverer
from workers.retention import Retention
from workers.sample_recorder import Sampler
from workers.step_events import StepEventCreator
from workers.submit import Submitter
from workers.sweep import Sweeper
from workers.tasks import FUNCTIONS
from workers.upload_sweep import UploadSweeper

_RETRIES: Final = 5
_IDLE_SECONDS: Final = 8.0  # how long one question for a token blocks
_BLOCKED_SECONDS: Final = 10.0  # a blocking command may take longer than any other
_SLACK_SECONDS: Final = 150  # on top of the call itself, to record its outcome while Redis is away
_PAUSE_SECONDS: Final = 0.2
_COPY_DRAIN_SECONDS: Final = 2.0
_THREADS: Final = 64


async def serve(settings: Settings, roles: Sequence[Role], stop: asyncio.Event) -> None:
    """Work until `stop` is set, then finish what is in progress."""
    # Files are read and written in threads. Python's default number of threads is small with few cores.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "workers"))
    async with (
        open_resources(
            settings, retries=_RETRIES, service="vidu-gateway-workers", makes_marker=False
        ) as resources,
        _context(resources) as ctx,
    ):
        pool = connection_pool(
            settings.redis_url,
            timeout_seconds=_BLOCKED_SECONDS,
            retries=_RETRIES,
            connections=512,
            acknowledgements=settings.durability_demand().acknowledgements,
        )
        r = resources
        sweeper = Sweeper(r.jobs, r.settlement, r.lanes, r.scripts, r.inline_files, r.environment, settings)
        dispatcher = Dispatcher(r.lanes)

        def wake() -> None:
            sweeper.woken.set()
            dispatcher.soon()

        workers: list[WakeWorker] = []
        heartbeat = Heartbeat(
            r.workers,
            roles,
            r.environment,
            lambda: sum(worker.job_counter for worker in workers),
            wake,
        )
        ctx["leave"] = heartbeat.leave
        workers += [_worker(settings, role, pool, ctx, heartbeat) for role in roles]
        tasks = [asyncio.create_task(heartbeat.run(), name="heartbeat")]
        tasks += [
            asyncio.create_task(_keep_running(worker, heartbeat.known), name=worker.queue_name)
            for worker in workers
        ]
        tasks += _led(resources, sweeper, dispatcher, ArqRedis(pool), heartbeat.leads)
        tasks += _background(resources, ctx, sweeper)
        structlog.get_logger().info("workers_ready", roles=[role.value for role in roles], pid=os.getpid())
        try:
            await _until(stop, tasks)
        finally:  # also when a task failed: what is in progress may have been paid for
            ctx["submitter"].stopping.set()
            seconds = settings.upstream_timeout_seconds + 15
            drained = zip(roles, workers, strict=True)
            await asyncio.gather(*(_drain(role, worker, seconds) for role, worker in drained))
            await cancel_all(*tasks)
            await heartbeat.end()
            await pool.disconnect()


def _led(
    resources: Resources, sweeper: Sweeper, dispatcher: Dispatcher, redis: ArqRedis, leads: asyncio.Event
) -> list[asyncio.Task[None]]:
    """What the process that leads does for all, once a second or so. It needs nothing but Redis, so that any
    process can lead. If two do for a moment, nothing is done twice. `redis`: may block."""
    r = resources
    return [
        asyncio.create_task(dispatcher.run(leads), name="dispatch"),
        asyncio.create_task(
            dispatcher.listen(lambda: token(redis, keys.DISPATCH_WAKE, _IDLE_SECONDS), leads),
            name="dispatch tokens",
        ),
        asyncio.create_task(sweeper.run(leads), name="sweep"),
        asyncio.create_task(Recoverer(r.recoveries).run(leads), name="recoveries"),
        asyncio.create_task(Sampler(r.samples).run(leads), name="samples"),
    ]


def _background(resources: Resources, ctx: dict[str, Any], sweeper: Sweeper) -> list[asyncio.Task[None]]:
    """The other tasks of every worker process besides its roles. They take turns, so that each is done even
    if some processes cannot reach the files or our public address."""
    r = resources
    tasks = [
        asyncio.create_task(sweeper.run_inline_files(), name="sweep inline files"),
        asyncio.create_task(
            tend(r.media, r.settings.media_location(), r.environment.clock), name="media store"
        ),
        asyncio.create_task(Retention(r.retention, r.scripts).run(), name="retention"),
        asyncio.create_task(
            Archiver(r.archive, r.archive_cleanup, r.scripts, on=r.settings.archive_after_seconds > 0).run(),
            name="archive",
        ),
        asyncio.create_task(
            LedgerKeeper(r.spend, r.ledger, r.ledger_archive, r.scripts).run(), name="ledger"
        ),
        asyncio.create_task(
            UploadSweeper(r.uploads, r.scripts, r.media, r.environment).run(), name="uploads"
        ),
        asyncio.create_task(
            CopyRetention(r.jobs, r.assets, r.scripts, r.media, r.environment).run(), name="copy retention"
        ),
    ]
    if r.settings.public_url:
        gap = r.settings.callback_gap_seconds
        prober = Prober(r.jobs, ctx["upstream"], r.keyring, r.environment, r.settings.public_url, gap)
        tasks.append(asyncio.create_task(prober.run(), name="probe"))
    return tasks


async def _until(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Returns when `stop` is set. Raises the error of a task that ended by itself."""
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in done:
        task.result()


@contextlib.asynccontextmanager
async def _context(resources: Resources) -> AsyncIterator[dict[str, Any]]:
    settings = resources.settings
    names = NameService.for_attempts(settings.delivery_timeout_seconds)
    guard = await open_guard(settings, names, locator_of(settings.redis_url).places)
    async with (
        contextlib.AsyncExitStack() as stack,
        Deliverer(
            guard,
            pool_size=settings.delivery_slots,
            total_seconds=settings.delivery_timeout_seconds,
            resolver=SystemResolver(names),
            reach=resources.environment.reach,
        ) as deliverer,
        Downloader(
            await open_result_guard(settings, names, locator_of(settings.redis_url).places),
            SystemResolver(names),
            pool_size=settings.mirror_slots,
            max_bytes=settings.mirror_max_bytes,
            stall_seconds=settings.mirror_stall_seconds,
            total_seconds=settings.mirror_timeout_seconds,
        ) as downloader,
    ):
        upstreams = {
            account.limits.name: await stack.enter_async_context(_upstream(resources, account))
            for account in settings.accounts()
        }
        r = resources
        yield {
            "terms": r.jobs.terms() | r.deliveries.terms(),
            "jobs": r.jobs,
            "upstream": upstreams[ACCOUNT],
            "submitter": Submitter(
                r.jobs,
                r.settlement,
                upstreams,
                r.inline_files,
                r.keyring,
                r.environment,
                settings,
                tracer=r.tracer,
            ),
            "step_events": StepEventCreator(
                r.jobs, r.deliveries, r.settings.client_url, r.result_link, r.settings.currency
            ),
            "confirmer": Confirmer(r.jobs, r.settlement, upstreams, r.environment, settings, tracer=r.tracer),
            "delivery_worker": DeliveryWorker(
                r.deliveries,
                r.endpoints,
                deliverer,
                r.keyring,
                r.environment,
                settings,
                tracer=r.tracer,
                networks=r.tenants.networks,
            ),
            "mirrorer": Mirrorer(
                r.jobs, r.assets, r.media, downloader, upstreams, r.environment, settings, tracer=r.tracer
            ),
        }


def _upstream(resources: Resources, account: UpstreamAccount) -> HttpUpstream:
    settings = resources.settings
    dialect = dialects.make(settings.upstream_dialect)
    return HttpUpstream(
        dialect,
        settings.upstream_url or dialect.home,
        account.key,
        response_seconds=settings.upstream_timeout_seconds,
        query_seconds=settings.upstream_query_seconds,
        proxy=settings.proxy(),
        reach=resources.environment.reach,
    )


def _worker(
    settings: Settings, role: Role, pool: Any, ctx: dict[str, Any], heartbeat: Heartbeat
) -> WakeWorker:
    slots = settings.roles()[role].slots
    call = max(settings.upstream_timeout_seconds, settings.delivery_timeout_seconds) * 2
    timeout = _SLACK_SECONDS + (2 * settings.mirror_timeout_seconds if role is Role.MIRROR else call)
    redis = ArqRedis(pool, default_queue_name=queue_name(role))
    return WakeWorker(
        [func(FUNCTIONS[role], name=role, timeout=timeout)],
        queue_name=queue_name(role),
        redis_pool=redis,
        ctx=ctx,
        handle_signals=False,
        max_jobs=slots,
        poll_delay=_IDLE_SECONDS,
        process=heartbeat.id,
        took=heartbeat.took_work,
        terms=ctx.get("terms", {}).get(role, b""),
    )


async def _drain(role: Role, worker: WakeWorker, seconds: float) -> None:
    """Waits for what is in progress. Copies may take long, and another worker can begin them again."""
    if role is not Role.MIRROR:
        await worker.drain(seconds)
        return
    await worker.drain(_COPY_DRAIN_SECONDS)
    await cancel_all(*worker.tasks.values())


async def _keep_running(worker: WakeWorker, known: asyncio.Event) -> None:
    """arq's loop ends when Redis is away for too long. This starts it again until Redis is back. `known`: set
    once the process may take work."""
    await known.wait()
    outage = Outage("queue_away", "queue_back", queue=worker.queue_name)
    while True:
        try:
            with store_errors():
                # The key never exists. The write shows whether the queue can be used.
                await worker.pool.delete(f"{worker.queue_name}:probe")
            outage.recovered()
            await worker.main()
        except StoreUnavailable as error:
            outage.failed(str(error))
            await asyncio.sleep(_PAUSE_SECONDS)
