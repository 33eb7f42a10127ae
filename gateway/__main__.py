"""The gateway process: `python -m gateway`. Exit code 2 if a setting is wrong; stderr says which."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from importlib.metadata import version
from types import FrameType
from typing import Any, Final

import structlog
import uvicorn

from gateway import settings, telemetry, tracing
from gateway.callbacks.journal import Journal
from gateway.environment import Environment
from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.store import durability
from gateway.web.app import create_app
from gateway.web.server.protocol import HardenedProtocol
from gateway.web.state import State

_STOP_SECONDS: Final = 10
_BACKLOG: Final = 2048


class _Server(uvicorn.Server):
    """Shuts down gracefully. At SIGTERM it stops being ready but serves for another `drain_seconds`, so that
    load balancers notice. Then it accepts no more connections, and answers waiting clients early instead of
    waiting for them. A second signal ends the draining immediately."""

    def __init__(self, config: uvicorn.Config, drain_seconds: float) -> None:
        super().__init__(config)
        self._app: Any = config.app  # `loaded_app` may be wrapped, for proxies
        self._drain_seconds = drain_seconds
        self._stop_request: tuple[int, float] | None = None  # the signal, and until when to serve

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._stop_request is not None or not self._drain_seconds or not self.started:
            super().handle_exit(sig, frame)
            return
        self._stop_request = sig, Environment().monotonic() + self._drain_seconds
        self._app.state.drain.begun = True

    async def on_tick(self, counter: int) -> bool:
        if self._stop_request is not None and Environment().monotonic() >= self._stop_request[1]:
            super().handle_exit(self._stop_request[0], None)
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = (sockets or [])[0].getsockname()[:2]
            structlog.get_logger().info(
                "gateway_ready", host=host, port=port, version=version("vidu-gateway")
            )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state: State = self._app.state.gateway
        state.stopping.set()
        await super().shutdown(sockets)
        structlog.get_logger().info("gateway_stopped")


def main() -> int:
    try:
        loaded = settings.load()
        telemetry.configure(loaded.log_level, loaded.log_format)
        tracing.check_installed(on=loaded.otel)
        asyncio.run(durability.check(loaded.redis_url, loaded.durability))
        if loaded.callback_journal_dir is not None:
            Journal(loaded.callback_journal_dir, Environment())
        listeners = _listen(loaded.host, loaded.port)
    except ConfigurationError as error:
        print(f"the gateway does not start:\n{error}", file=sys.stderr)  # noqa: T201
        return 2
    settings.warn_of_unknown_variables()
    server = _Server(_configuration(loaded), loaded.drain_seconds)
    server.run(sockets=listeners)
    return 0 if server.started else 1


def _listen(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of the host. Raises ConfigurationError with the setting at fault."""
    listeners: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listener = socket.socket(family, kind, protocol)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
    except OSError as error:
        for listener in listeners:
            listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(f"GATEWAY_PORT: {host} port {port} is in use") from None
        name = "GATEWAY_PORT" if error.errno == errno.EACCES else "GATEWAY_HOST"
        raise ConfigurationError(f"{name}: cannot listen on {host} port {port}: {error.strerror}") from None
    return listeners


def _configuration(loaded: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(loaded),
        loop="uvloop",
        http=HardenedProtocol,
        ws="none",
        access_log=False,  # its lines would show callback tokens
        log_config=None,
        log_level="error",
        server_header=False,
        proxy_headers=bool(loaded.trusted_proxies),
        forwarded_allow_ips=loaded.trusted_proxies or "",
        backlog=_BACKLOG,
        timeout_keep_alive=loaded.keep_alive_seconds,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )


if __name__ == "__main__":
    sys.exit(main())
