"""A backup of a store in full swing, and what becomes of its jobs on a new server: none is paid for twice."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from gateway.dispatch import Role
from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call, machine
from tests.promises.conftest import SHORT, eventually

pytestmark = pytest.mark.processes

BACKUP = Path(__file__).parents[2] / "deploy" / "backup.sh"
SETTINGS = {
    "GATEWAY_UPSTREAM_SLOTS": "1000",
    "GATEWAY_UPSTREAM_TENANT_SLOTS": "1000",
    "GATEWAY_UNKNOWN_GRACE_SECONDS": "60",  # as in production, longer than a task
}
TASK_SECONDS = 15.0  # longer than from the first payment to the gateway's return


@pytest.fixture
def service(tmp_path: Path, nursery: Nursery) -> Iterator[Machine]:
    with machine(tmp_path, nursery) as made:
        made.environment |= SHORT | SETTINGS
        yield made


class Poster(threading.Thread):
    """Posts jobs until it is stopped. `jobs`: those that were accepted."""

    def __init__(self, service: Machine) -> None:
        super().__init__()
        self.service = service
        self.jobs: list[str] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.02):
            status, job, _ = call("POST", f"{self.service.gateway}/v1/jobs", self.service.key, ORDER)
            assert status == 202
            self.jobs.append(str(job["id"]))


def data(service: Machine) -> Path:
    return service.folder / "valkey" / "appendonlydir"


def back_up(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BACKUP), str(source), str(target)], capture_output=True, text=True, check=False
    )


def status_of(service: Machine, job: str) -> str:
    status, found, _ = call("GET", f"{service.gateway}/v1/jobs/{job}", service.key)
    return str(found["status"]) if status == 200 else "gone"


def test_jobs_that_were_paid_for_after_the_backup_are_not_paid_for_again(service: Machine) -> None:
    service.start_sandbox(task_seconds=f"{TASK_SECONDS:g}")
    service.start_gateway()
    queued = Poster(service)
    queued.start()
    eventually(lambda: len(queued.jobs) >= 5)
    queued.stopped.set()
    queued.join()
    assert service.charges() == {}

    service.start_workers()
    poster = Poster(service)
    poster.start()
    eventually(lambda: len(service.charges()) >= 1)
    backup = service.folder / "backup"
    known = list(poster.jobs)  # in the backup for certain
    made = back_up(data(service), backup)
    assert made.returncode == 0, made.stderr
    at = len(poster.jobs)
    eventually(lambda: len(poster.jobs) >= at + 10 and len(service.charges()) > at)
    poster.stopped.set()
    poster.join()

    for name in ("gateway", "workers"):
        service.kill(name)
    service.kill_valkey()
    paid = set(service.charges())
    assert paid & set(poster.jobs[at:]), "some job was paid for after the backup"
    shutil.rmtree(data(service))
    shutil.copytree(backup, data(service))
    service.start_valkey()

    service.start_gateway()
    others = [word for role in Role if role is not Role.SUBMIT for word in ("--role", role.value)]
    service.start("others", "workers", *others)  # nothing is sent: not even what waits at arq
    jobs = [*queued.jobs, *poster.jobs]
    assert all(status_of(service, job) != "gone" for job in [*queued.jobs, *known])

    def adopted() -> bool:
        return all(status_of(service, job) == "completed" for job in paid)

    eventually(adopted)
    assert service.charges() == dict.fromkeys(paid, 1)
    service.start_workers()

    def ended() -> bool:
        return all(status_of(service, job) in ("completed", "gone") for job in jobs)

    eventually(ended)
    assert service.charges() == dict.fromkeys(service.charges(), 1)
    assert {job for job in jobs if status_of(service, job) == "gone"}.isdisjoint(service.charges())
    with redis.Redis.from_url(service.url, decode_responses=True) as client:
        tally = client.hgetall("{gw}:tally")
    # ahead: in the backup, and not sent yet; orphan: not in the backup
    assert sum(int(number) for name, number in tally.items() if name.startswith("rollback_seen|")) > 0


def test_a_backup_is_a_store_that_starts_although_its_files_were_rewritten_meanwhile(
    service: Machine, tmp_path: Path
) -> None:
    with redis.Redis.from_url(service.url) as client:
        stopped = threading.Event()

        def write() -> None:
            with redis.Redis.from_url(service.url) as writer:
                number = 0
                while not stopped.is_set():
                    number += 1
                    writer.set("newest", number)
                    writer.set(f"key{number}", "x" * 1000)

        writing = threading.Thread(target=write)
        writing.start()
        try:
            eventually(lambda: int(client.get("newest") or 0) > 100)
            before = int(client.get("newest"))
            client.bgrewriteaof()
            made = back_up(data(service), tmp_path / "backup")
            assert made.returncode == 0, made.stderr
            after = int(client.get("newest"))
        finally:
            stopped.set()
            writing.join()
    service.kill_valkey()
    shutil.rmtree(data(service))
    shutil.copytree(tmp_path / "backup", data(service))
    service.start_valkey()
    with redis.Redis.from_url(service.url) as client:
        found = int(client.get("newest"))
        assert before <= found <= after + 1
        assert client.exists(*(f"key{number}" for number in range(1, found))) == found - 1


def test_a_backup_that_cannot_be_whole_says_why_and_leaves_nothing(service: Machine, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    made = back_up(empty, tmp_path / "backup")
    assert (made.returncode, "has no manifest" in made.stderr) == (1, True)
    taken = back_up(data(service), empty)
    assert (taken.returncode, "exists already" in taken.stderr) == (1, True)
    assert not (tmp_path / "backup").exists()
