"""The subscribers of docs/examples, each run as a process and sent what a subscriber may be sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

import pytest

from tests import extras

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = (
    '{"type":"job.completed","timestamp":"2026-11-26T00:00:00Z",'
    '"data":{"id":"job_1","output":null,"prompt":"视频 ✓"}}'
).encode()
_NUMBERS = count()


@dataclass(slots=True)
class Running:
    port: int
    process: subprocess.Popen[str]

    def post(self, headers: dict[str, str], body: bytes = BODY) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", "/hook", body, {"Content-Type": "application/json", **headers})
            return connection.getresponse().status
        finally:
            connection.close()

    def line_with(self, *words: str) -> str:
        """Reads what it prints until a line holds all of these."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if all(word in line for word in words):
                return line
        raise AssertionError(f"it ended without a line that holds {words}")


def python(name: str, *words: str) -> Callable[[Path], list[str]]:
    return lambda _: [sys.executable, str(EXAMPLES / name), *words]


def javascript(folder: Path) -> list[str]:
    """With the libraries that `make extras` installed by this lock file."""
    fetched, lock = extras.FOLDER / "javascript", EXAMPLES / "javascript" / "package-lock.json"
    if shutil.which("node") is None or not same(fetched / "fetched.json", lock):
        extras.missing("node with the libraries of the JavaScript example")
    for name in ("package.json", "subscriber.mjs"):
        shutil.copy(EXAMPLES / "javascript" / name, folder)
    (folder / "node_modules").symlink_to(fetched / "node_modules")
    return ["node", str(folder / "subscriber.mjs"), "0"]


def go(folder: Path) -> list[str]:
    """Built with the libraries that `make extras` fetched by this go.sum, and nothing else."""
    fetched = extras.FOLDER / "go"
    if shutil.which("go") is None or not same(fetched / "fetched.sum", EXAMPLES / "go" / "go.sum"):
        extras.missing("Go with the libraries of the Go example")
    for name in ("go.mod", "go.sum", "main.go"):
        shutil.copy(EXAMPLES / "go" / name, folder)
    alone = {
        **os.environ,
        "GOMODCACHE": str(fetched / "modules"),
        "GOCACHE": str(fetched / "built"),
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly",
        "CGO_ENABLED": "0",
    }
    quickly = "-gcflags=all=-N -l"  # as `make extras` compiled the libraries: nothing is optimised
    subprocess.run(["go", "vet", quickly, "."], cwd=folder, env=alone, check=True)
    subprocess.run(["go", "build", quickly, "-o", "subscriber", "."], cwd=folder, env=alone, check=True)
    return [str(folder / "subscriber"), "0"]


def same(one: Path, other: Path) -> bool:
    return one.exists() and one.read_bytes() == other.read_bytes()


KINDS: dict[str, Callable[[Path], list[str]]] = {
    "receive.py": python("receive.py", "0", SECRET),
    "subscriber.py": python("subscriber.py", "0"),
    "javascript": javascript,
    "go": go,
}


@contextmanager
def started(command: list[str], folder: Path, secret: str = SECRET) -> Iterator[Running]:
    environment = {
        **os.environ,
        "WEBHOOK_SECRET": secret,
        "INBOX": str(folder / "inbox.sqlite3"),
        "PYTHONUNBUFFERED": "1",  # as in most images: each part of a line is a write of its own
    }
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        try:
            running = Running(0, process)
            running.port = int(running.line_with("listening on ").rpartition(":")[2].removesuffix("/hook\n"))
            yield running
        finally:
            process.kill()


CommandOf = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def command_of(tmp_path_factory: pytest.TempPathFactory) -> CommandOf:
    """How an example is started; made ready once."""
    made: dict[str, list[str]] = {}

    def find(kind: str) -> list[str]:
        if kind not in made:
            made[kind] = KINDS[kind](tmp_path_factory.mktemp(kind))
        return made[kind]

    return find


@pytest.fixture(scope="module", params=list(KINDS))
def running(
    request: pytest.FixtureRequest, command_of: CommandOf, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with started(command_of(request.param), tmp_path_factory.mktemp("inbox")) as running:
        yield running


def signed(
    *, key: bytes = KEY, body: bytes = BODY, shift: int = 0, before: str = "", webhook_id: str = ""
) -> dict[str, str]:
    """Headers as the standard says, made by no library: `shift` seconds off, `before` the signature."""
    webhook_id = webhook_id or f"evt_{next(_NUMBERS)}"
    timestamp = str(int(time.time()) + shift)
    mac = hmac.new(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"{before}v1,{base64.b64encode(mac).decode()}",
    }


def test_a_genuine_webhook_is_taken(running: Running) -> None:
    headers = signed()
    assert running.post(headers) == 204
    assert running.line_with(headers["webhook-id"])


def test_a_test_event_is_taken_which_is_about_no_job(running: Running) -> None:
    body = b'{"type":"endpoint.test","timestamp":"2026-11-26T00:00:00Z","data":{"endpoint":"ep_1"}}'
    headers = signed(body=body)
    assert running.post(headers, body) == 204
    line = running.line_with(headers["webhook-id"])
    assert "undefined" not in line
    assert "verified: " not in line or "endpoint.test" in line


@pytest.mark.parametrize("kind", ["javascript", "go"])
def test_what_is_about_no_job_is_not_worked_on(kind: str, command_of: CommandOf, tmp_path: Path) -> None:
    with started(command_of(kind), tmp_path) as running:
        for type_of in ("endpoint.test", "something.new"):
            body = b'{"type":"%s","timestamp":"2026-11-26T00:00:00Z","data":{}}' % type_of.encode()
            headers = signed(body=body)
            assert running.post(headers, body) == 204
            assert running.line_with(headers["webhook-id"]) == f"ignored: {headers['webhook-id']} {type_of}\n"


def test_a_webhook_signed_with_two_secrets_is_taken(running: Running) -> None:
    """As during a rotation, with the other secret first, and with another kind of signature."""
    other = signed(key=b"another secret of enough bytes")["webhook-signature"]
    assert running.post(signed(before=f"{other} ")) == 204
    assert running.post(signed(before="v1a,AAAA ")) == 204


def test_what_comes_twice_is_answered_well_twice(running: Running) -> None:
    headers = signed()
    assert [running.post(headers), running.post(headers)] == [204, 204]


@pytest.mark.parametrize(
    "headers",
    [
        signed(key=SECRET.removeprefix("whsec_").encode()),
        signed(key=SECRET.encode()),
        signed(key=b""),
        signed(body=BODY + b" "),
        signed() | {"webhook-id": "evt_other"},
        signed() | {"webhook-timestamp": "1614265330"},
        signed() | {"webhook-timestamp": "soon"},
        signed() | {"webhook-signature": "v1,"},
        signed() | {"webhook-signature": "v2," + signed()["webhook-signature"][3:]},
        {},
    ],
    ids=lambda _: "",
)
def test_what_is_not_genuine_is_refused(running: Running, headers: dict[str, str]) -> None:
    assert running.post(headers) == 401


@pytest.mark.parametrize("shift", [-330, 330])
def test_what_is_old_or_of_the_future_is_refused(running: Running, shift: int) -> None:
    assert running.post(signed(shift=shift)) == 401


@pytest.mark.parametrize("kind", ["subscriber.py", "javascript", "go"])
def test_an_empty_secret_is_refused_at_the_start(kind: str, command_of: CommandOf, tmp_path: Path) -> None:
    command = command_of(kind)
    environment = {**os.environ, "WEBHOOK_SECRET": "", "INBOX": str(tmp_path / "inbox.sqlite3")}
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert ended.returncode != 0


@pytest.mark.parametrize("kind", ["subscriber.py", "javascript", "go"])
def test_it_is_worked_on_once_and_a_body_too_large_is_not_read(
    kind: str, command_of: CommandOf, tmp_path: Path
) -> None:
    with started(command_of(kind), tmp_path) as running:
        headers = signed()
        assert [running.post(headers), running.post(headers)] == [204, 204]
        assert running.line_with("duplicate:", headers["webhook-id"])
        large = b" " * 1_048_577
        # Python's server answers before it reads: a body on its way would break the connection.
        sent = b"" if kind == "subscriber.py" else large
        assert running.post(signed(body=large) | {"Content-Length": str(len(large))}, sent) == 413


def test_what_was_kept_is_worked_on_after_a_restart(command_of: CommandOf, tmp_path: Path) -> None:
    """The inbox as a subscriber leaves it that dies between its answer and its work."""
    command = command_of("subscriber.py")
    with started(command, tmp_path) as running:
        for _ in range(2):
            assert running.post(signed()) == 204
            running.line_with("done:", "job_1")
    with closing(sqlite3.connect(tmp_path / "inbox.sqlite3")) as inbox, inbox:
        # The second was begun, so that the first is noted as done; of the second nobody can say.
        assert inbox.execute("SELECT done FROM inbox ORDER BY rowid").fetchall()[0] == (1,)
        kept = [("evt_2", BODY.replace(b"job_1", b"job_2")), ("evt_bad", b'{"type":"job.failed"}')]
        kept.append(("evt_3", BODY.replace(b"job_1", b"job_3")))
        inbox.executemany("INSERT INTO inbox (id, body) VALUES (?, ?)", kept)
    with started(command, tmp_path) as running:
        running.line_with("done:", "job_2")
        running.line_with("failed", "evt_bad")
        running.line_with("done:", "job_3")


def test_events_that_arrive_together_are_all_worked_on_and_logged_on_lines_of_their_own(
    command_of: CommandOf, tmp_path: Path
) -> None:
    with started(command_of("subscriber.py"), tmp_path) as running, ThreadPoolExecutor(8) as pool:
        bodies = [BODY.replace(b"job_1", b"job_%d" % number) for number in range(200)]
        posted = [pool.submit(running.post, signed(body=body), body) for body in bodies]
        assert {one.result() for one in posted} == {204}
        left = {f"done: job.completed job_{number}" for number in range(200)}
        while left:
            line = running.line_with("").rstrip("\n")
            assert line in left or line.startswith("kept: evt_"), line
            assert len(line.split()) == (2 if line.startswith("kept:") else 3), line
            left.discard(line)
