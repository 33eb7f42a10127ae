"""`vidu-gateway doctor`: finds common configuration errors, and says how to fix them.

It reads the services' settings from the environment and checks Redis, the upstream and the callback route. It
costs nothing, and changes nothing but this: it loads our functions into Redis if they are missing, and writes
a small file to the media store and deletes it. A check that fails to run is a finding too; no check raises.
"""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import Final

from gateway import settings
from gateway.callbacks import tokens
from gateway.commands import calls
from gateway.dispatch import ACCOUNT, Role
from gateway.environment import Environment
from gateway.errors import ConfigurationError, GatewayError, MediaStoreUnavailable, NotFound
from gateway.media.base import MediaStore, Space, Unmarked
from gateway.media.opening import open_store
from gateway.settings import Settings
from gateway.store import durability, function_loader, replication, replication_check
from gateway.store.client import redis_at
from gateway.store.located import locator_of
from gateway.store.script_runner import Scripts
from gateway.store.snapshot import RedisGauges
from gateway.store.workers import RedisWorkers
from gateway.upstream import dialects
from gateway.upstream.base import Inconclusive, QueryOutcome
from gateway.upstream.http import HttpUpstream

_CHECK_SECONDS: Final = 15.0
_SKEW_SECONDS: Final = 2.0
_SWEEP_SECONDS: Final = 30.0
_FILES: Final = 4096
_DISK_HEADROOM: Final = 1.5  # as gateway/web/alarms.py has it
_REFUSED: Final = "the account was refused"  # as gateway/upstream/snapshots.py has it


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """`check`: the name of the check. `fix`: what to do; empty if nothing is wrong."""

    check: str
    level: Level
    text: str
    fix: str = ""


Check = Callable[[Settings], AsyncIterator[Finding]]


def examine() -> list[Finding]:
    """All findings, in the order of the checks. With wrong settings, no other check can run."""
    try:
        loaded = settings.load()
    except ConfigurationError as error:
        fix = (
            "set it in the environment of the gateway and of the workers; docs/settings.md lists all settings"
        )
        return [Finding("settings", Level.ERROR, line, fix) for line in str(error).splitlines()]
    return asyncio.run(_examine(loaded))


async def _examine(loaded: Settings) -> list[Finding]:
    checks: list[tuple[str, Check]] = [
        ("settings", _settings),
        ("redis", _redis),
        ("workers", _workers),
        ("callbacks", _callbacks),
        ("upstream", _upstream),
        ("files", _files),
    ]
    findings: list[Finding] = []
    for name, check in checks:
        findings += await _within_time(name, lambda check=check: _collected(check(loaded)))  # type: ignore[misc]
    return findings


async def _collected(findings: AsyncIterator[Finding]) -> list[Finding]:
    return [finding async for finding in findings]


async def _within_time(name: str, check: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return await check()
    except TimeoutError:
        text = f"no answer within {_CHECK_SECONDS:g} s"
        return [Finding(name, Level.ERROR, text, "check the network")]
    except GatewayError as error:
        return [Finding(name, Level.ERROR, str(error), _fix_of(name))]


def _fix_of(name: str) -> str:
    return "start Redis, or correct GATEWAY_REDIS_URL" if name in ("redis", "workers") else "see the message"


async def _settings(loaded: Settings) -> AsyncIterator[Finding]:
    yield Finding("settings", Level.OK, f"vidu-gateway {version('vidu-gateway')}; all settings are valid")
    if unknown := settings.unknown_variables():
        yield Finding(
            *("settings", Level.WARNING, f"these variables are no settings: {', '.join(unknown)}"),
            "ignore them if another release or the cluster needs them, or else remove them",
        )
    if not loaded.delivery_networks and not loaded.delivery_public:
        yield Finding(
            *("settings", Level.WARNING, "no webhook can be delivered: no network is allowed"),
            "set GATEWAY_DELIVERY_NETWORKS to the networks of subscribers, or GATEWAY_DELIVERY_PUBLIC=1",
        )
    if loaded.durability == "assume":
        yield Finding(
            *("settings", Level.WARNING, "GATEWAY_DURABILITY=assume: Redis may lose writes"),
            "do not set it in production",
        )
    cores = os.cpu_count() or 1
    if loaded.processes > cores:
        text = f"GATEWAY_PROCESSES={loaded.processes}, but there are {cores} cores"
        yield Finding(
            *("settings", Level.WARNING, text),
            "set GATEWAY_PROCESSES to at most the cores that the gateway or the workers may use",
        )
    if loaded.upstream_tenant_slots > loaded.roles()[Role.SUBMIT].slots:
        yield Finding(
            *("settings", Level.WARNING, "a tenant may hold more slots than there are"),
            "set GATEWAY_UPSTREAM_TENANT_SLOTS to at most the slots of all accounts",
        )


async def _redis(loaded: Settings) -> AsyncIterator[Finding]:
    async with redis_at(loaded.redis_url, loaded.redis_timeout_seconds) as redis:
        gauges = await RedisGauges(redis, Environment().monotonic, loaded.roles()[Role.SUBMIT]).read()
        text = f"version {gauges.redis_version}, {gauges.memory_bytes / 1e6:.0f} MB used, answers in "
        yield Finding("redis", Level.OK, f"{text}{gauges.read_seconds * 1000:.1f} ms")
        locator = locator_of(loaded.redis_url)
        found = await replication.read(redis, locator)
        yield Finding("redis", Level.OK, replication_check.summary(found))
        for doubt in await replication_check.warnings(redis, locator, found):
            what, _, fix = doubt.partition("; ")
            yield Finding("redis", Level.WARNING, what, fix)
        demand = loaded.durability_demand()
        for doubt in replication_check.warnings_of_demand(demand, locator, found):
            what, _, fix = doubt.partition("; ")
            yield Finding("redis", Level.WARNING, what, fix)
        for fault in await durability.faults(redis, demand):
            what, _, fix = fault.partition("; ")
            yield Finding("redis", Level.ERROR, what, fix or "fix it before accepting jobs")
        if lacking := await function_loader.fault(redis):
            what, _, fix = lacking.partition(": ")
            yield Finding("redis", Level.ERROR, what, fix)
        skew = Environment().now_ms() / 1000 - gauges.now
        if abs(skew) > _SKEW_SECONDS:
            yield Finding(
                "redis", Level.WARNING, f"its clock and ours differ by {abs(skew):.1f} s", "check NTP"
            )


async def _workers(loaded: Settings) -> AsyncIterator[Finding]:
    async with redis_at(loaded.redis_url, loaded.redis_timeout_seconds) as redis:
        gauges = await RedisGauges(redis, Environment().monotonic, loaded.roles()[Role.SUBMIT]).read()
        processes = await RedisWorkers(redis, Scripts(redis)).all()
    swept = gauges.sweep_age_seconds
    if not gauges.workers or (swept is not None and swept > _SWEEP_SECONDS):
        what = "workers run, but none finishes a sweep" if gauges.workers else "no worker is running"
        text = f"{what}: nothing is sent, confirmed or delivered"
        fix = "read the workers' logs" if gauges.workers else "start workers: python -m workers"
        yield Finding("workers", Level.ERROR, text, fix)
        return
    sweep = "there was no sweep yet" if swept is None else f"the last sweep was {swept:.0f} s ago"
    running = ", ".join(f"{one.host} {one.pid}" for one in processes if not one.silent)
    yield Finding("workers", Level.OK, f"{gauges.workers} running ({running}); {sweep}")
    mine = version("vidu-gateway")
    if others := sorted({one.version for one in processes if not one.silent} - {mine}):
        yield Finding(
            *("workers", Level.WARNING, f"some run version {', '.join(others)}, this is {mine}"),
            "finish the update",
        )


async def _callbacks(loaded: Settings) -> AsyncIterator[Finding]:
    if not loaded.public_url:
        yield Finding(
            *("callbacks", Level.WARNING, "off: results are found only by polling"),
            "set GATEWAY_PUBLIC_URL to the URL where the upstream can reach the gateway",
        )
        return
    token = tokens.make_probe(loaded.keyring(), Environment().now_ms() // 60_000)
    path = f"/callbacks/probe/{token}"
    status = await asyncio.to_thread(calls.status, loaded.public_url, path, "", 5.0)
    if status == 200:
        yield Finding("callbacks", Level.OK, f"the callback route answers at {loaded.public_url}")
        return
    text = "nothing answers there" if status == 0 else f"something else answers there ({status})"
    yield Finding(
        *("callbacks", Level.ERROR, f"{loaded.public_url}: {text}"),
        "check GATEWAY_PUBLIC_URL, DNS, ingress, certificate; the gateway there must have the same keyring",
    )


async def _upstream(loaded: Settings) -> AsyncIterator[Finding]:
    dialect = dialects.make(loaded.upstream_dialect)
    url = loaded.upstream_url or dialect.home
    for account in loaded.accounts():
        async with HttpUpstream(
            dialect, url, account.key, query_seconds=8.0, proxy=loaded.proxy()
        ) as upstream:
            outcome = await upstream.query("doctor")
        yield _of_account(account.limits.name, url, outcome)


def _of_account(name: str, url: str, outcome: QueryOutcome) -> Finding:
    setting = "GATEWAY_UPSTREAM_KEY" if name == ACCOUNT else f"the key of {name} in GATEWAY_UPSTREAM_ACCOUNTS"
    if not isinstance(outcome, Inconclusive):
        return Finding("upstream", Level.OK, f"{url} answers and accepts the key of account {name}")
    if outcome.reason.startswith(_REFUSED):
        return Finding(
            *("upstream", Level.ERROR, f"{url} refuses the key of account {name}: {outcome.reason}"),
            f"check {setting}, and the account's balance and permissions",
        )
    return Finding(
        *("upstream", Level.ERROR, f"{url}: {outcome.reason}"),
        "check the network, GATEWAY_UPSTREAM_URL, GATEWAY_UPSTREAM_PROXY and GATEWAY_UPSTREAM_DIALECT",
    )


async def _files(loaded: Settings) -> AsyncIterator[Finding]:
    try:
        store = open_store(loaded.media_location(), loaded.disk_watermark, makes_marker=False)
        text, space = f"{await store.probe()} can be written and read", await store.space()
        if space is not None:
            text += f", {space.free / 1e9:.1f} GB free"
        marked = await _marked(store)
        yield Finding("files", Level.OK, text)
        if not marked:
            yield Finding(
                *("files", Level.WARNING, "no gateway has used this place yet, or the volume is not mounted"),
                "mount the volume, or correct GATEWAY_MEDIA_URL or GATEWAY_BLOB_DIR; a gateway marks the"
                " place when it starts",
            )
        if space is not None and space.headroom < _DISK_HEADROOM:
            yield _little_space(space)
    except (MediaStoreUnavailable, ConfigurationError) as error:
        where = loaded.media_url or loaded.blob_dir.absolute()
        yield Finding(
            *("files", Level.ERROR, f"{where}: {error}"),
            "create the folder or the bucket, or correct GATEWAY_MEDIA_URL, GATEWAY_BLOB_DIR or AWS_*; all"
            " processes must share it; the key of a bucket needs s3:ListBucket too",
        )
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < _FILES:
        text = f"only {most} files may be open at once"
        yield Finding("files", Level.WARNING, text, f"run ulimit -n {_FILES}, or more")


async def _marked(store: MediaStore) -> bool:
    """Whether a gateway has used the store. MediaStoreUnavailable if a file that is missing cannot be told
    from one that we may not read: a key without s3:ListBucket."""
    try:
        await store.mark()
        await store.size(f"doctor/{Environment().entropy(8).hex()}")
    except Unmarked:
        return False
    except NotFound:
        return True
    raise MediaStoreUnavailable("a file is there that nobody has written")


def _little_space(space: Space) -> Finding:
    free = f"{space.free / 1e9:.1f} GB are free, and {space.needed / 1e9:.1f} GB must stay free"
    if space.headroom < 1:
        return Finding("files", Level.ERROR, f"no file is taken: {free}", "free or add space on that disk")
    return Finding("files", Level.WARNING, f"soon no file is taken: {free}", "free or add space on that disk")


def has_errors(findings: list[Finding]) -> bool:
    return any(finding.level is Level.ERROR for finding in findings)
