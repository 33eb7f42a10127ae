"""The gateway as a real HTTP server, in a thread of this process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from gateway.settings import Settings
from gateway.web.app import create_app
from gateway.web.server.protocol import HardenedProtocol


@contextmanager
def listening(settings: Settings) -> Iterator[str]:
    """Its base URL, until the block ends."""
    config = uvicorn.Config(
        create_app(settings),
        http=HardenedProtocol,
        ws="none",
        access_log=False,
        log_config=None,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or "",
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
