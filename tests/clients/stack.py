"""A gateway, its workers and a sandbox, which the clients of one file share; servers beside them."""

from __future__ import annotations

import http.server
import json
import queue
import re
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import redis

from gateway.doors.base import Refusal
from gateway.doors.openai.words import OPENAI
from tests.gateway.generation.media_samples import image
from tests.nursery import Nursery
from tests.processes import Machine, machine
from tests.promises.conftest import SHORT
from tests.promises.faults.proxy import Proxies, Proxy


class Stack:
    """`link`: the way of the clients to the gateway, which can lose answers. `file`: a picture."""

    def __init__(self, machine: Machine, link: Proxy) -> None:
        self.machine, self.link = machine, link
        self.base = f"http://127.0.0.1:{link.port}"
        self.file = str(machine.folder / "fox.png")
        Path(self.file).write_bytes(image("png"))

    def answered(self, route: str = "/v1/videos") -> dict[str, int]:
        """{status: how many requests of this route this gateway has answered with it}"""
        with urllib.request.urlopen(f"{self.machine.gateway}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        line = rf'gateway_http_requests_total{{route="{re.escape(route)}",status="(\d+)"}} (\d+)'
        return {status: int(count) for status, count in re.findall(line, text)}

    def params(self, job: str) -> dict[str, Any]:
        """What the upstream gets."""
        with redis.Redis.from_url(self.machine.url) as client:
            found: dict[str, Any] = json.loads(client.hget(f"{{gw}}:job:{job}", "params") or b"{}")
        return found

    def restart_gateway(self, **more: str) -> None:
        self.machine.stop("gateway")
        self.machine.start_gateway(**more)


@contextmanager
def stack(folder: Path, nursery: Nursery) -> Iterator[Stack]:
    proxies = Proxies()
    with machine(folder, nursery) as made:
        link = proxies.open("clients", ("127.0.0.1", made.ports["gateway"]))
        made.environment |= SHORT
        made.start_sandbox(task_seconds="0.3")
        made.start_gateway()
        made.start_workers()
        yield Stack(made, link)
    proxies.close()


class _Server:
    """A server on loopback, which answers POSTs."""

    def __init__(self) -> None:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                status, body = outer.answer({name.lower(): text for name, text in self.headers.items()}, raw)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, headers: dict[str, str], raw: bytes) -> tuple[int, bytes]:
        raise NotImplementedError

    def __enter__(self) -> Any:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class Refusing(_Server):
    """Refuses everything in the words of the OpenAI door. `count`: how often it was asked."""

    def __init__(self, status: int, name: str) -> None:
        super().__init__()
        self.count = 0
        self._refusal = Refusal(status, name, "there is no money left", [], "req_1")

    def answer(self, headers: dict[str, str], raw: bytes) -> tuple[int, bytes]:
        self.count += 1
        status, body = OPENAI.refused(self._refusal)
        return status, json.dumps(body).encode()


class Receiver(_Server):
    """A subscriber at `url`."""

    def __init__(self) -> None:
        super().__init__()
        self.url = f"{self.base}/hook"
        self._heard: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()

    def answer(self, headers: dict[str, str], raw: bytes) -> tuple[int, bytes]:
        self._heard.put((headers, raw))
        return 204, b""

    def next(self) -> tuple[dict[str, str], bytes]:
        """Headers and body of the next webhook."""
        return self._heard.get(timeout=60)
