"""The gateway: `python -m gateway [--processes N]`. Exit code 2 if a setting is wrong; stderr says which."""

from __future__ import annotations

import argparse
import asyncio
import errno
import itertools
import signal
import socket
import sys
from collections.abc import Iterable
from importlib.metadata import version
from types import FrameType
from typing import Any, Final

import structlog
import uvicorn

from gateway import settings
from gateway.callbacks.journal import Journal
from gateway.environment import Environment
from gateway.errors import ConfigurationError
from gateway.local.forked import Parent, add_option, on_order
from gateway.local.shared_memory import Shared
from gateway.media.opening import open_store
from gateway.settings import Settings
from gateway.store import durability
from gateway.telemetry import logs, tracing
from gateway.web.app import create_app
from gateway.web.server.protocol import HardenedProtocol
from gateway.web.state import State

_STOP_SECONDS: Final = 10
_BACKLOG: Final = 2048


class _Server(uvicorn.Server):
    """Shuts down gracefully. At SIGTERM it stops being ready but serves for another `drain_seconds`, so that
    load balancers notice. Then it accepts no more connections, and answers waiting clients early instead of
    waiting for them. A second signal ends the draining immediately. `orders`: where those of the parent come
    from, if there is one."""

    def __init__(self, config: uvicorn.Config, drain_seconds: float, orders: int | None = None) -> None:
        super().__init__(config)
        self._orders = orders
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
        if self._orders is not None:
            on_order(self._orders, lambda: self.handle_exit(signal.SIGTERM, None))
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
    arguments = argparse.ArgumentParser(prog="python -m gateway", description="The HTTP side of vidu-gateway")
    add_option(arguments)
    chosen = arguments.parse_args()
    try:
        loaded = settings.load()
        logs.configure(loaded.log_level, loaded.log_format)
        tracing.check_installed(on=loaded.otel)
        open_store(loaded.media_location())
        loaded.check_prices()
        asyncio.run(durability.check(loaded.redis_url, loaded.durability_demand()))
        if loaded.callback_journal_dir is not None:
            Journal(loaded.callback_journal_dir, Environment())
        processes = chosen.processes or loaded.processes
        listeners = _listeners(loaded.host, loaded.port, processes)
    except ConfigurationError as error:
        print(f"the gateway does not start:\n{error}", file=sys.stderr)  # noqa: T201
        return 2
    settings.warn_of_unknown_variables()
    shared = Shared(processes)

    def serve(slot: int = 0, orders: int | None = None) -> int:
        own = listeners[slot]
        _close(listener for others in listeners if others is not own for listener in others)
        server = _Server(_configuration(loaded, shared), loaded.drain_seconds, orders)
        server.run(sockets=own)
        return 0 if server.started else 1

    if processes == 1:
        return serve()
    return Parent(shared, serve, at_stop=lambda: _close(itertools.chain(*listeners))).run()


def _listeners(host: str, port: int, processes: int) -> list[list[socket.socket]]:
    """The sockets of each process. Raises ConfigurationError with the setting at fault."""
    found = [_listen(host, port)]
    if processes == 1:
        return found
    if sys.platform != "linux":  # where the system does not balance between sockets of one port
        return found * processes
    # Each process has its own sockets, and the parent keeps them open: connections that wait for a process
    # that died are served by the next one.
    _close(found[0])  # it made sure that nobody else has the port
    return [_listen(host, port, shared=True) for _ in range(processes)]


def _close(sockets: Iterable[socket.socket]) -> None:
    for one in sockets:
        one.close()


def _listen(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """A socket for each address of the host. `shared`: with others of the same address; such a socket begins
    to listen when its process is ready. Raises ConfigurationError with the setting at fault."""
    listeners: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listener = socket.socket(family, kind, protocol)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if shared:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(address)
            if not shared:
                listener.listen(_BACKLOG)
    except OSError as error:
        _close(listeners)
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(f"GATEWAY_PORT: {host} port {port} is in use") from None
        name = "GATEWAY_PORT" if error.errno == errno.EACCES else "GATEWAY_HOST"
        raise ConfigurationError(f"{name}: cannot listen on {host} port {port}: {error.strerror}") from None
    return listeners


def _configuration(loaded: Settings, shared: Shared | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(loaded, shared),
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
