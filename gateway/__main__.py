"""The gateway process: `python -m gateway`. Exit code 2 when a setting is wrong, which stderr names."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Final

import uvicorn

from gateway import settings, telemetry
from gateway.errors import ConfigurationError
from gateway.store import durability
from gateway.web.app import create_app
from gateway.web.protocol import HardenedProtocol
from gateway.web.state import State

_STOP_SECONDS: Final = 10
_KEEP_ALIVE_SECONDS: Final = 30
_BACKLOG: Final = 2048


class _Server(uvicorn.Server):
    """Tells those who wait for a job that the process is about to end, instead of making it wait for them."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state: State = self.config.loaded_app.state.gateway
        state.stopping.set()
        await super().shutdown(sockets)


def main() -> int:
    try:
        loaded = settings.load()
        telemetry.configure(loaded)
        asyncio.run(durability.check(loaded))
    except ConfigurationError as error:
        print(f"the gateway does not start:\n{error}", file=sys.stderr)  # noqa: T201
        return 2
    config = uvicorn.Config(
        create_app(loaded),
        host=loaded.host,
        port=loaded.port,
        loop="uvloop",
        http=HardenedProtocol,
        ws="none",
        access_log=False,  # its lines would show callback tokens
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    server = _Server(config)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
