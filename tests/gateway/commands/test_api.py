"""The command line's own HTTP calls, against a small real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from gateway.commands import api
from gateway.errors import GatewayError, Unavailable

PROBLEM = b'{"title":"Invalid request","errors":[{"param":"duration","message":"at most 10"}]}'
ANSWERS = {
    "/object": (200, b'{"a":1}'),
    "/list": (200, b"[]"),
    "/problem": (422, PROBLEM),
    "/detail": (503, b'{"title":"Unavailable","detail":"Redis does not answer"}'),
    "/text": (500, b"oh"),
}


class _Answers(BaseHTTPRequestHandler):
    keys: ClassVar[dict[str, str | None]] = {}

    def do_GET(self) -> None:
        self.keys[self.path] = self.headers["Authorization"]
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/object")  # type: ignore[attr-defined]
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        status, body = ANSWERS[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def base() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_object_is_answered(base: str) -> None:
    assert api.ask("GET", f"{base}/object", "key") == {"a": 1}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/problem", "answered 422: duration: at most 10"),
        ("/detail", "answered 503: Redis does not answer"),
        ("/text", "answered 500: oh"),
        ("/list", "did not answer a JSON object"),
    ],
)
def test_any_other_answer_is_an_error_with_its_reason(base: str, path: str, reason: str) -> None:
    with pytest.raises(GatewayError, match=reason):
        api.ask("GET", base + path, "key")


def test_no_answer_is_unavailable_and_status_nought(base: str) -> None:
    nobody = "http://127.0.0.1:1/"
    with pytest.raises(Unavailable) as caught:
        api.ask("GET", nobody, "a-secret-key")
    assert "a-secret-key" not in str(caught.value)
    assert api.status(nobody) == 0
    assert api.status(f"{base}/object") == 200


def test_a_download_appears_whole_or_not_at_all(base: str, tmp_path: Path) -> None:
    api.save(f"{base}/object", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b'{"a":1}'
    with pytest.raises(GatewayError):
        api.save(f"{base}/text", tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_download_follows_a_redirect_without_the_key(base: str, tmp_path: Path) -> None:
    api.save(f"{base}/moved", tmp_path / "file", "secret")
    assert (tmp_path / "file").read_bytes() == b'{"a":1}'
    assert (_Answers.keys["/moved"], _Answers.keys["/object"]) == ("Bearer secret", None)


def test_a_proxy_variable_goes_unheard(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert api.status(f"{base}/object") == 200
