"""`python -m workers [--role submit|confirm|deliver]...`: the process that does the work."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import uvloop

from gateway import settings as settings_module
from gateway import telemetry, tracing
from gateway.dispatch import Role
from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.store import durability
from workers import runner


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workers", description="The workers of vidu-gateway.")
    parser.add_argument(
        "--role",
        action="append",
        type=Role,
        choices=list(Role),
        help="play only this role (repeatable; default: all)",
    )
    roles = parser.parse_args().role or list(Role)
    try:
        settings = settings_module.load()
        tracing.check_installed(on=settings.otel)
    except ConfigurationError as error:
        print(f"workers cannot start:\n{error}", file=sys.stderr)  # noqa: T201  # no log yet
        return 2
    telemetry.configure(settings.log_level, settings.log_format)
    settings_module.warn_of_unknown_variables()
    try:
        uvloop.run(_run(settings, roles))
    except ConfigurationError as error:
        print(f"workers cannot start:\n{error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


async def _run(settings: Settings, roles: list[Role]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await durability.check_when_there(settings.redis_url, settings.durability, stop)
    if not stop.is_set():
        await runner.serve(settings, roles, stop)


if __name__ == "__main__":
    sys.exit(main())
