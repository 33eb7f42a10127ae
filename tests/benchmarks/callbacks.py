"""Callbacks: how soon one is acknowledged at a steady rate, each of them durable before its 200."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

from gateway.callbacks import tokens
from tests.benchmarks.figures import Figure, Found, p99_ms, quantile
from tests.benchmarks.load import request
from tests.processes import ORDER, Machine, call, machine

JOBS = 1000
PER_SECOND = 200.0
_CONNECTIONS = 32


def measure() -> Found:
    """Two callbacks for each of `JOBS` submitted jobs, one of a beginning and one of an end."""
    with tempfile.TemporaryDirectory() as name, machine(Path(name)) as scratch:
        slots = {"GATEWAY_UPSTREAM_SLOTS": str(JOBS), "GATEWAY_UPSTREAM_TENANT_SLOTS": str(JOBS)}
        scratch.environment |= slots
        scratch.start_sandbox(task_seconds="3600")
        scratch.start_gateway()
        scratch.start_workers()
        jobs = [
            str(call("POST", f"{scratch.gateway}/v1/jobs", scratch.key, ORDER)[1]["id"]) for _ in range(JOBS)
        ]
        tasks = _tasks(scratch)
        calls = [_callback(scratch, job, tasks[job], "in_progress") for job in jobs]
        calls += [_callback(scratch, job, tasks[job], "completed") for job in jobs]
        times = asyncio.run(_paced(scratch.ports["gateway"], calls))
    return Found(
        {"callback_ack_p99_ms": Figure([p99_ms(times)])},
        {"callback_ack_p50_ms": [quantile(times, 0.5) * 1000]},
    )


def _tasks(scratch: Machine) -> dict[str, str]:
    """{job: its task}, when all were submitted."""
    deadline = time.monotonic() + 120
    while True:
        posts = [fact for fact in scratch.ledger("post") if fact["task_id"]]
        if len(posts) >= JOBS:
            time.sleep(2)  # the last answers are being recorded
            return {fact["callback_token"].split(".")[2]: fact["task_id"] for fact in posts}
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(posts)} of {JOBS} jobs were submitted in 120 s")
        time.sleep(0.2)


def _callback(scratch: Machine, job: str, task: str, status: str) -> bytes:
    token = tokens.make(scratch.keyring, "acme", job, 1)
    return request(f"/callbacks/{token}", json.dumps({"id": task, "status": status}).encode(), "none")


async def _paced(port: int, calls: list[bytes]) -> list[float]:
    """Seconds from the moment that each was due to its whole answer, so that a queue counts."""
    began, times = time.perf_counter() + 0.1, []
    waiting = asyncio.Queue[tuple[float, bytes]]()
    for number, text in enumerate(calls):
        waiting.put_nowait((began + number / PER_SECOND, text))

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not waiting.empty():
            due, text = waiting.get_nowait()
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(text)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            if b" 200 " not in head.split(b"\r\n")[0]:
                raise SystemExit(f"a callback was answered {head.splitlines()[0].decode()}")
            times.append(time.perf_counter() - due)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(_CONNECTIONS)))
    return times
