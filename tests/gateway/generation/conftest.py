"""The inspection's child, forked from a process that has loaded PyAV: for tests that inspect many files."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from pathlib import Path

import pytest

from gateway.generation import inspection
from tests.gateway.generation import probing

_FORKS = multiprocessing.get_context("forkserver")


@pytest.fixture
def forked_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    _FORKS.set_forkserver_preload(["av", probing.__name__])
    monkeypatch.setattr(inspection, "run_isolated", _run)


async def _run(_: Path, extension: str, source: bytes) -> tuple[int | None, bytes]:
    return await asyncio.to_thread(_forked, extension, source)


def _forked(extension: str, raw: bytes) -> tuple[int | None, bytes]:
    ours, theirs = _FORKS.Pipe(duplex=False)
    child = _FORKS.Process(target=probing.probe, args=(raw, extension, theirs))
    child.start()
    theirs.close()
    output = b""
    with ours, contextlib.suppress(EOFError):  # it ended without an answer
        output = ours.recv_bytes()
    child.join()
    code = child.exitcode
    child.close()
    return code, output
