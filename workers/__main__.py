"""`python -m workers [--role submit|confirm|deliver|mirror]... [--processes N] [--alive-file PATH]`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import uvloop

from gateway import settings as settings_module
from gateway.dispatch import Role
from gateway.environment import Environment
from gateway.errors import ConfigurationError
from gateway.local.forked import Parent, add_option, on_order
from gateway.local.shared_memory import Shared
from gateway.media.opening import open_store
from gateway.settings import Settings
from gateway.store import durability
from gateway.telemetry import logs, tracing
from workers import runner
from workers.alive import AliveFile


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workers", description="The workers of vidu-gateway.")
    parser.add_argument(
        "--role",
        action="append",
        type=Role,
        choices=list(Role),
        help="play only this role (repeatable; default: all)",
    )
    add_option(parser)
    parser.add_argument(
        "--alive-file",
        type=Path,
        metavar="PATH",
        help="touch this file every second while the loops of all processes run",
    )
    chosen = parser.parse_args()
    roles = chosen.role or list(Role)
    try:
        settings = settings_module.load()
        tracing.check_installed(on=settings.otel)
        open_store(settings.media_location())
        processes = chosen.processes or settings.processes
        shared = Shared(processes)
        alive = chosen.alive_file and AliveFile(chosen.alive_file, shared, Environment().monotonic)
    except ConfigurationError as error:
        print(f"workers cannot start:\n{error}", file=sys.stderr)  # noqa: T201  # no log yet
        return 2
    logs.configure(settings.log_level, settings.log_format)
    settings_module.warn_of_unknown_variables()

    def serve(_: int = 0, orders: int | None = None) -> int:
        try:
            uvloop.run(_run(settings, roles, alive, orders))
        except ConfigurationError as error:
            print(f"workers cannot start:\n{error}", file=sys.stderr)  # noqa: T201
            return 2
        return 0

    return serve() if processes == 1 else Parent(shared, serve).run()


async def _run(settings: Settings, roles: list[Role], alive: AliveFile | None, orders: int | None) -> None:
    """`orders`: where those of the parent come from, if there is one."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if orders is not None:
        on_order(orders, stop.set)
    async with alive.kept() if alive else contextlib.nullcontext():
        await durability.check_when_there(settings.redis_url, settings.durability_demand(), stop)
        if not stop.is_set():
            await runner.serve(settings, roles, stop)


if __name__ == "__main__":
    sys.exit(main())
