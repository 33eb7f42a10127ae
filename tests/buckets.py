"""An S3 server of this run's own (moto), which all tests share. Each takes a bucket of its own."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway.local.process import ManagedProcess
from tests.processes import free_port

_CREDENTIAL: Final = "id/20260101/us-east-1/s3/aws4_request"
_AUTHORIZATION: Final = f"AWS4-HMAC-SHA256 Credential={_CREDENTIAL}, SignedHeaders=host, Signature=0"
_numbers = itertools.count(1)


class S3Server:
    """`url`: its address."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a bucket of it is reached."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "id-canary",
            "AWS_SECRET_ACCESS_KEY": "secret-canary",
        }

    def new_bucket(self) -> str:
        name = f"media-{next(_numbers)}"
        assert self._ask("PUT", f"/{name}") == 200
        return name

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self._ask("GET", "/moto-api/") == 200
        return False

    @contextmanager
    def strict(self) -> Iterator[None]:
        """Inside, only credentials that the server knows are right; it knows none."""
        assert self._ask("POST", "/moto-api/reset-auth", b"0") == 200
        try:
            yield
        finally:
            assert self._ask("POST", "/moto-api/reset-auth", b"inf") == 200

    def _ask(self, method: str, path: str, body: bytes | None = None) -> int:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            connection.request(method, path, body, {"Authorization": _AUTHORIZATION})
            return connection.getresponse().status
        finally:
            connection.close()


@contextmanager
def s3_server(log: Path) -> Iterator[S3Server]:
    port = free_port()
    command = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
    server = S3Server(f"http://127.0.0.1:{port}")
    child = ManagedProcess("moto", command, log)
    child.start()
    try:
        while not server.answers():
            assert child.exit_code() is None, child.last_lines()
            time.sleep(0.01)
        yield server
    finally:
        child.stop()
