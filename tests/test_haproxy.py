"""deploy/haproxy.cfg is valid, and leads to the primary that the sentinels name, whatever a server says."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import redis

from tests import extras
from tests.processes import free_port
from tests.replicated import Servers, ask, replicate, role, servers, wait_until

CONFIG = Path(__file__).parents[1] / "deploy" / "haproxy.cfg"
COUNT = "{gw}:count"


def haproxy() -> str:
    found = shutil.which("haproxy") or shutil.which("haproxy", path=extras.FOLDER)
    return found or extras.missing("haproxy, which tries deploy/haproxy.cfg (Debian has a package)")


def test_the_configuration_is_valid() -> None:
    command = [haproxy(), "-c", "-f", str(CONFIG)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "WARNING" in done.stderr) == (0, False), done.stderr


@contextlib.contextmanager
def proxy(folder: Path, places: Mapping[str, int]) -> Iterator[int]:
    """HAProxy with the configuration as it is, but for these places: {`host:port` there: port here}."""
    text, port = CONFIG.read_text(), free_port()
    for place, own in places.items():
        host, _, number = place.partition(":")
        text = text.replace(place, f"127.0.0.1:{own}")
        text = text.replace(
            f"{host}\\r\\n${len(number)}\\r\\n{number}\\r\\n",
            f"127.0.0.1\\r\\n${len(str(own))}\\r\\n{own}\\r\\n",
        )
    assert "10.0.0." not in text
    settings = folder / "haproxy.cfg"
    settings.write_text(text.replace("bind :6379", f"bind 127.0.0.1:{port}"))
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([haproxy(), "-db", "-f", str(settings)], stdout=log, stderr=log)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def counted(port: int) -> bool:
    """Whether a new connection was led to a server that took a write."""
    client = redis.Redis(port=port, socket_timeout=1, socket_connect_timeout=1)
    with client:
        try:
            client.incr(COUNT)
        except redis.RedisError:
            return False
    return True


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Servers]:
    with servers(tmp_path) as opened:
        yield opened


def test_after_a_failover_no_write_goes_to_the_old_primary_although_it_says_that_it_is_one(
    made: Servers, tmp_path: Path
) -> None:
    haproxy()
    first = made.start()
    second = replicate(made, first)
    sentinels = [made.start_sentinel("main", first, quorum=2) for _ in range(3)]
    for port in sentinels:
        with made.at(port) as client:
            wait_until(lambda client=client: len(ask(client, "SENTINEL", "SENTINELS", "main")) == 2)
            wait_until(lambda client=client: len(ask(client, "SENTINEL", "REPLICAS", "main")) == 1)
    places = {"10.0.0.11:6379": first, "10.0.0.12:6379": second}
    places |= {f"10.0.0.2{number}:26379": port for number, port in enumerate(sentinels, 1)}
    with proxy(tmp_path, places) as port, redis.Redis(port=port) as held, made.at(second) as new:
        wait_until(lambda: counted(port))
        held.ping()
        connection = held.connection_pool._available_connections[0]
        wait_until(lambda: new.get(COUNT) == "1")
        made.kill(first)
        wait_until(lambda: counted(port))
        with pytest.raises(redis.ConnectionError):  # the connection to the old one was cut
            connection.send_command("PING")
            connection.read_response()
        made.start(port=first)
        written = 2
        with made.at(first) as old:
            assert role(old) == "master"
            while role(old) == "master":
                written += counted(port)
            assert written > 10
        assert new.get(COUNT) == str(written)
