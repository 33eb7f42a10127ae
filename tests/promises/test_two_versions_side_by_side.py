"""P1, P2 while two versions share one store: as in a rolling update, and as after an update that is undone.

The other version is a pinned commit of this repository. It is raised with each release, so that it is the one
that is replaced next."""

from __future__ import annotations

import contextlib
import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call, free_port, machine
from tests.promises.conftest import SHORT, Subscriber, eventually, job_of, post

pytestmark = pytest.mark.processes

BEFORE = "bce0e3b11936df6cd79f2b2e46645739d5fe5337"
ROOT = Path(__file__).parents[2]
JOBS = 8


def git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=False)


@pytest.fixture(scope="session")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code of the version before."""
    archive = git("archive", BEFORE, "gateway", "workers")
    if archive.returncode:
        if git("rev-parse", "--is-shallow-repository").stdout.strip() != b"false":
            pytest.skip(
                f"no full clone, so the version before ({BEFORE[:7]}) is not here: git fetch --unshallow"
            )
        pytest.fail(f"{BEFORE} is not in this repository: {archive.stderr.decode()}")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@pytest.fixture
def service(tmp_path: Path, nursery: Nursery) -> Iterator[Machine]:
    """Nothing runs yet but the store and the upstream."""
    with machine(tmp_path, nursery) as made:
        made.environment |= SHORT
        made.start_sandbox(task_seconds="0.5")
        yield made


@contextlib.contextmanager
def of(service: Machine, code: Path) -> Iterator[None]:
    """What starts in the block runs that code."""
    service.code = code
    yield
    service.code = None


def assert_done_once(service: Machine, subscriber: Subscriber, jobs: list[str]) -> None:
    for job in jobs:
        assert job_of(service, job, wait=30)["status"] == "completed"
    eventually(lambda: all(subscriber.events_of(job) for job in jobs))
    assert service.charges() == dict.fromkeys(jobs, 1)
    for job in jobs:
        assert len({name for name, _ in subscriber.events_of(job)}) == 1
    assert len({fact["callback_token"].split(".")[2] for fact in service.ledger("callback")}) == len(jobs)


@pytest.mark.parametrize("old", ["workers", "gateway"])
def test_processes_of_one_kind_may_be_of_the_version_before(
    service: Machine, subscriber: Subscriber, before: Path, old: str
) -> None:
    with of(service, before) if old == "gateway" else contextlib.nullcontext():
        service.start_gateway()
    with of(service, before) if old == "workers" else contextlib.nullcontext():
        service.start_workers()
    subscriber.answers = [500] * 3  # so that something is due later
    assert_done_once(service, subscriber, [post(service, subscriber) for _ in range(JOBS)])


@pytest.mark.parametrize("killed", ["before", "after"])
def test_both_versions_of_both_kinds_share_the_work_and_repair_what_the_other_left(
    service: Machine, subscriber: Subscriber, before: Path, killed: str
) -> None:
    with of(service, before):
        service.start_gateway()
        service.start_workers("before", GATEWAY_CRASH_POINTS=crash(killed == "before"))
    port = free_port()
    newer = f"http://127.0.0.1:{port}"
    service.start("newer", "gateway", probe=f"{newer}/livez", more={"GATEWAY_PORT": str(port)})
    service.start_workers("after", GATEWAY_CRASH_POINTS=crash(killed == "after"))
    jobs = []
    while service.processes[killed].poll() is None:
        for gateway in (service.gateway, newer):
            order = {**ORDER, "callback_url": subscriber.url}
            status, job, _ = call("POST", f"{gateway}/v1/jobs", service.key, order)
            assert status == 202, job
            jobs.append(str(job["id"]))
        assert len(jobs) < 500
    assert_done_once(service, subscriber, jobs)


def crash(wanted: bool) -> str:
    """The worker dies while it holds a job that is not paid for."""
    return "release.before:3:kill" if wanted else ""


@pytest.mark.parametrize("undone", [False, True], ids=["updated", "undone"])
def test_jobs_that_one_version_began_are_finished_by_the_other(
    service: Machine, subscriber: Subscriber, before: Path, undone: bool
) -> None:
    first, then = (None, before) if undone else (before, None)
    service.code = first
    service.start_gateway()
    service.start_workers()
    subscriber.answers = [503] * JOBS
    jobs = [post(service, subscriber) for _ in range(JOBS)]
    eventually(lambda: len(service.charges()) > JOBS // 2)
    assert service.stop("workers") == 0
    jobs += [post(service, subscriber) for _ in range(JOBS)]
    service.stop("gateway")
    service.code = then
    service.start_gateway()
    service.start_workers()
    assert_done_once(service, subscriber, jobs)


def test_the_versions_are_two(service: Machine, before: Path) -> None:
    """Or the others would prove nothing: both libraries of functions are in use."""
    with of(service, before):
        service.start_workers("before")
    service.start_workers("after")
    with redis.Redis.from_url(service.url) as client:
        eventually(lambda: client.zcard("{gw}:libraries") == 2)
