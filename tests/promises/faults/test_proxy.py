"""Each weather does to bytes and connections what its name says, and clears."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.promises.faults.proxy import Proxies, Proxy, Weather


@pytest.fixture
def echo() -> Iterator[tuple[Proxy, list[bytes]]]:
    """A proxy before a server that answers with what it hears; and all that the server heard."""
    heard: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(1000):
                heard.append(data)
                connection.sendall(data)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    proxies = Proxies()
    try:
        yield proxies.open("link", server.getsockname()), heard
    finally:
        proxies.close()
        server.close()


def _dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def _asked(connection: socket.socket, question: bytes = b"hello") -> bytes:
    connection.sendall(question)
    return connection.recv(1000)


def test_bytes_pass_both_ways_and_are_counted(echo: tuple[Proxy, list[bytes]]) -> None:
    proxy, _ = echo
    with _dial(proxy) as connection:
        assert _asked(connection) == b"hello"
    assert (proxy.counts["requests"], proxy.counts["replies"]) == (5, 5)


def test_latency_is_felt_once_each_way(echo: tuple[Proxy, list[bytes]]) -> None:
    proxy, _ = echo
    with _dial(proxy) as connection:
        proxy.set(Weather.LATENCY, 0.1)
        began = time.monotonic()
        assert _asked(connection) == b"hello"
        assert time.monotonic() - began >= 0.2


def test_what_fell_into_a_black_hole_arrives_when_it_clears(echo: tuple[Proxy, list[bytes]]) -> None:
    proxy, heard = echo
    with _dial(proxy) as connection:
        proxy.set(Weather.BLACK_HOLE)
        connection.sendall(b"hello")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(10)
        assert heard == []
        proxy.set(Weather.PASS)
        connection.settimeout(5)
        assert connection.recv(10) == b"hello"


@pytest.mark.parametrize(("weather", "arrives"), [(Weather.DROP, False), (Weather.HALF_OPEN, True)])
def test_what_was_lost_stays_lost(echo: tuple[Proxy, list[bytes]], weather: Weather, arrives: bool) -> None:
    proxy, heard = echo
    with _dial(proxy) as connection:
        proxy.set(weather)
        connection.sendall(b"hello")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(10)
        proxy.set(Weather.PASS)
        connection.settimeout(5)
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
    assert (heard == [b"hello"]) is arrives
    with _dial(proxy) as connection:
        assert _asked(connection) == b"hello"


@pytest.mark.parametrize("weather", [Weather.RESET, Weather.REFUSE])
def test_open_and_new_connections_are_reset(echo: tuple[Proxy, list[bytes]], weather: Weather) -> None:
    proxy, heard = echo
    with _dial(proxy) as connection:
        assert _asked(connection) == b"hello"
        proxy.set(weather)
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
    with pytest.raises((ConnectionResetError, BrokenPipeError)), _dial(proxy) as connection:
        _asked(connection, b"again")
    assert (b"again" in heard) is (weather is Weather.RESET)


def test_throttled_bytes_take_their_time(echo: tuple[Proxy, list[bytes]]) -> None:
    proxy, _ = echo
    with _dial(proxy) as connection:
        proxy.set(Weather.THROTTLE, 5000)
        began = time.monotonic()
        connection.sendall(b"x" * 600)
        got = b""
        while len(got) < 600:
            got += connection.recv(1000)
        assert time.monotonic() - began >= 0.12


def test_a_target_that_is_away_is_passed_over(echo: tuple[Proxy, list[bytes]]) -> None:
    proxy, _ = echo
    with socket.create_server(("127.0.0.1", 0)) as gone:
        away = gone.getsockname()
    proxy.targets.append(away)
    for _ in range(3):
        with _dial(proxy) as connection:
            assert _asked(connection) == b"hello"
