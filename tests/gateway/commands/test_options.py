"""Where the command line sends a key."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli import app
from gateway.commands import options
from gateway.errors import ConfigurationError

KEY = "vgw_0123456789ab_" + "0" * 48


@pytest.fixture
def other() -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and the keys that it was sent."""
    keys: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers.get("Authorization", ""))
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", keys
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("name", ["status", "top", "service show", "jobs unknown", "audit export"])
def test_the_key_goes_to_the_server_of_the_variable(name: str, other: tuple[str, list[str]]) -> None:
    url, keys = other
    environment = {"VIDU_GATEWAY_URL": url, "VIDU_GATEWAY_OPS_KEY": KEY}
    CliRunner().invoke(app, name.split(), env=environment)
    assert keys[:1] == [f"Bearer {KEY}"]


@pytest.mark.parametrize(
    ("url", "key", "told"),
    [
        ("", KEY, "VIDU_GATEWAY_URL"),
        ("gateway.example.com", KEY, "must start with http"),
        ("ftp://x", KEY, "must start with http"),
        ("http://", KEY, "no valid host"),
        ("http://user:secret@x", KEY, "has a user name"),
        ("http://x:port", KEY, "has a port"),
        ("http://x/?a=1", KEY, "has a query"),
        ("http://x", "", "VIDU_GATEWAY_OPS_KEY"),
        ("http://x", "vgw_x\r\nHost: y", "invalid characters"),
        ("http://x", "schlüssel", "invalid characters"),
    ],
)
def test_an_address_or_a_key_that_cannot_work_is_refused(url: str, key: str, told: str) -> None:
    with pytest.raises(typer.BadParameter, match=told) as refusal:
        options.operator(url, key)
    assert "secret" not in str(refusal.value)


def test_a_slash_at_the_end_of_the_address_is_left_out() -> None:
    assert options.client("https://gateway.example.com/base/", KEY).url == "https://gateway.example.com/base"


def test_a_gateway_does_not_show_its_key() -> None:
    assert KEY not in repr(options.client("https://gateway.example.com", KEY))


def test_a_key_can_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("VIDU_GATEWAY_OPS_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.delenv("VIDU_GATEWAY_OPS_KEY", raising=False)
    assert options.operator("http://x", "").key == KEY
    assert options.operator("http://x", "vgw_an_option").key == "vgw_an_option"
    monkeypatch.setenv("VIDU_GATEWAY_OPS_KEY", "vgw_the_variable")
    with pytest.raises(ConfigurationError, match="are both set"):
        options.operator("http://x", "vgw_the_variable")
