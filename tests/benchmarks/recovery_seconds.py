"""How long a job takes to come back after something failed: real processes, one fault at a time."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import ORDER, UPSTREAM_KEY, Machine, call, machine

ROUNDS = 3
TASK_SECONDS = 1.0
OUTAGE_SECONDS = 5.0
JOBS = 5
SLOTS = 20
_PATIENCE_SECONDS = 60.0
#: What the upstream does with a paid request whose answer is lost.
_LOST_ANSWERS = ("drop_after_accept", "not_json", "503_after")
_VIDU = {"GATEWAY_UPSTREAM_DIALECT": "vidu"}


def measure() -> dict[str, float]:
    """Seconds, the median of `ROUNDS`, until everything is completed again. `lost_answer`: from the POST, of
    a task that takes `TASK_SECONDS`, with the callback as evidence, or the list alone; `failed_confirm`: the
    same. `killed`: from the death of one of two workers, right before it released a submission, and right
    after it sent it. `store_away`: from the death of the store, which is back after `OUTAGE_SECONDS`, for
    jobs in every phase and one that is posted then."""
    return {
        "recovery_seconds_lost_answer_vidu": _median(lambda: _lost_answers(_VIDU)),
        "recovery_seconds_lost_answer_vtrix": _median(lambda: _lost_answers({})),
        "recovery_seconds_lost_answer_listed": _median(
            lambda: _lost_answers(_VIDU, "[[fault:lost_callback]]")
        ),
        "recovery_seconds_failed_confirm": _median(_failed_confirms),
        "recovery_seconds_killed_before_release": _median(lambda: _kills("release.before")),
        "recovery_seconds_killed_after_release": _median(lambda: _kills("submit.last_byte.after")),
        "recovery_seconds_store_away": _median(_outages),
    }


def _median(rounds: Callable[[], list[float]]) -> float:
    found = rounds()
    print(" ".join(f"{seconds:.2f}" for seconds in found), flush=True)
    return statistics.median(found)


def _lost_answers(environment: Mapping[str, str], also: str = "") -> list[float]:
    with _running(environment) as scratch:
        _seconds_of(scratch)  # warm up
        return [_seconds_of(scratch, f"[[fault:{name}]]{also}") for name in _LOST_ANSWERS]


def _failed_confirms() -> list[float]:
    """The first poll of each task fails, after the callback."""
    with _running({}) as scratch:
        _seconds_of(scratch)
        return [_seconds_of(scratch, "[[fault:hidden=1]]") for _ in range(ROUNDS)]


def _kills(point: str) -> list[float]:
    return [_kill(point) for _ in range(ROUNDS)]


def _kill(point: str) -> float:
    """Two workers; one of them dies at that point of a job."""
    with _running({}) as scratch:
        scratch.start_workers("victim", GATEWAY_CRASH_POINTS=f"{point}:1:kill")
        jobs = []
        while scratch.processes["victim"].poll() is None:
            jobs.append(_post(scratch))
            time.sleep(0.1)
        began = time.monotonic()
        for job in jobs:
            _complete(scratch, job)
        return time.monotonic() - began


def _outages() -> list[float]:
    return [_outage() for _ in range(ROUNDS)]


def _outage() -> float:
    with _running({}) as scratch:
        jobs = [_post(scratch) for _ in range(JOBS)]
        time.sleep(TASK_SECONDS / 2)
        jobs += [_post(scratch) for _ in range(JOBS)]
        scratch.kill_valkey()
        began = time.monotonic()
        time.sleep(OUTAGE_SECONDS)
        scratch.start_valkey()
        jobs.append(_post(scratch))
        for job in jobs:
            _complete(scratch, job)
        return time.monotonic() - began


def _seconds_of(scratch: Machine, faults: str = "") -> float:
    began = time.monotonic()
    _complete(scratch, _post(scratch, faults))
    return time.monotonic() - began


def _post(scratch: Machine, faults: str = "") -> str:
    body: dict[str, Any] = {**ORDER, "prompt": f"a fox {time.monotonic_ns()} {faults}"}
    while True:
        status, job, _ = call("POST", f"{scratch.gateway}/v1/jobs", scratch.key, body)
        if status == 202:
            return str(job["id"])
        time.sleep(0.05)


def _complete(scratch: Machine, job: str) -> None:
    def completed() -> bool:
        status, found, _ = call("GET", f"{scratch.gateway}/v1/jobs/{job}", scratch.key)
        if status == 200 and found["status"] in ("failed", "canceled"):
            raise SystemExit(f"a job was not recovered: {found['error']}")
        return status == 200 and found["status"] == "completed"

    _until(completed)


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"not recovered in {_PATIENCE_SECONDS:g} seconds")
        time.sleep(0.02)


@contextmanager
def _running(environment: Mapping[str, str]) -> Iterator[Machine]:
    """The service with its default settings, but for a slot for each job."""
    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        journal = scratch.folder / "journal"
        journal.mkdir()
        scratch.environment |= {
            "GATEWAY_CALLBACK_JOURNAL_DIR": str(journal),
            "GATEWAY_UPSTREAM_SLOTS": str(SLOTS),
            "GATEWAY_UPSTREAM_TENANT_SLOTS": str(SLOTS),
            **environment,
        }
        scratch.start_sandbox(task_seconds=f"{TASK_SECONDS:g}", key=UPSTREAM_KEY)
        scratch.start_gateway()
        scratch.start_workers()
        yield scratch
