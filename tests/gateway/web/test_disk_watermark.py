"""Intake closes before the disk of files is full, first for jobs that have some."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from gateway.errors import DiskFull, MediaStoreUnavailable
from gateway.media.base import Space
from gateway.media.folder import FolderStore
from gateway.media.inline import InlineFiles
from gateway.web import disk_watermark
from gateway.web.disk_watermark import DiskGauge
from gateway.web.state import State
from tests.gateway.generation.media_samples import data_uri, image
from tests.gateway.store.test_memory_watermark_gauge import Clock, until
from tests.gateway.web.conftest import BODY, app, client, connected, make_key, state
from tests.gateway.web.ops.test_tenants import operator

__all__ = ["app", "client", "connected", "make_key", "operator", "state"]

GB = 10**9
Disk = Callable[[int], None]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """`disk(free)`: a disk of 1 GB with so many free bytes, of which 150 MB must stay free."""

    def has(free: int) -> None:
        usage = _usage(GB, free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    has(GB)
    return has


def _usage(total: int, free: int) -> Any:
    return SimpleNamespace(total=total, free=free)


def open_for(gauge: DiskGauge) -> list[str]:
    found = []
    for name, inline in (("media", True), ("urls", False)):
        try:
            gauge.check(inline=inline)
            found.append(name)
        except DiskFull:
            pass
    return found


async def test_intake_closes_in_two_steps_and_opens_a_little_above_them(tmp_path: Path, disk: Disk) -> None:
    gauge = DiskGauge(FolderStore(tmp_path), Clock())
    assert open_for(gauge) == ["media", "urls"]  # before the first reading
    seen = []
    for free in (160, 149, 160, 80, 74, 85, 95, 160, 170):
        disk(free * 10**6)
        await gauge.read()
        seen.append(open_for(gauge))
    both = ["media", "urls"]
    assert seen == [both, ["urls"], ["urls"], ["urls"], [], [], ["urls"], ["urls"], both]


async def test_a_large_disk_needs_no_more_than_4_gib_free(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = _usage(4000 * GB, 10 * GB)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert await FolderStore(Path("/nowhere/at/all")).space() == Space(10 * GB, 4 * 2**30)


async def test_no_file_is_written_that_would_go_above_the_watermark(tmp_path: Path, disk: Disk) -> None:
    blobs = InlineFiles(FolderStore(tmp_path / "blobs"))
    disk(150 * 10**6 + 99)
    with pytest.raises(DiskFull, match="150 MB free, and 150 MB must stay free"):
        await blobs.put("job_1", bytes(100), "png")
    assert not (tmp_path / "blobs").exists()
    await blobs.put("job_1", bytes(99), "png")


async def test_a_disk_that_cannot_be_read_closes_nothing_and_each_change_is_logged_once(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_watermark, "_PAUSE_SECONDS", 0.001)
    clock, media = Clock(), FolderStore(tmp_path)
    disk(10)
    with capture_logs() as logged:
        async with DiskGauge(media, clock) as gauge:
            await until(lambda: open_for(gauge) == [])
            monkeypatch.setattr(media, "space", unreadable)
            await until(lambda: any(line["event"] == "disk_unknown" for line in logged))
            clock.seconds += 11
            assert (gauge.space, open_for(gauge)) == (None, ["media", "urls"])
            monkeypatch.undo()
            monkeypatch.setattr(disk_watermark, "_PAUSE_SECONDS", 0.001)
            await until(lambda: any(line["event"] == "disk_has_room" for line in logged))
    assert [line["event"] for line in logged] == [
        "disk_nearly_full", "disk_unknown", "disk_known", "disk_has_room"
    ]  # fmt: skip


async def unreadable() -> Space:
    raise MediaStoreUnavailable("a blob could not be measured: Input/output error")


async def test_a_post_on_a_full_disk_gets_a_503_and_operators_see_it(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, state: State, disk: Disk
) -> None:
    inline = BODY | {"images": [data_uri("image/png", image("png"))]}
    disk(140 * 10**6)
    await state.disk.read()
    refused = await client.post("/v1/jobs", json=inline)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
    assert "send media as URLs" in refused.json()["detail"]
    assert (await client.post("/v1/jobs", json=BODY)).status_code == 202
    shown = (await operator.get("/ops/api/overview")).json()
    assert shown["disk"] == {"free_bytes": 140 * 10**6, "needed_bytes": 150 * 10**6}
    [alarm] = [one for one in shown["alarms"] if one["code"] == "DiskNearlyFull"]
    assert "uploads and jobs with inline media are refused, and no result is copied" in alarm["text"]
    metrics = (await client.get("/metrics")).text
    assert "gateway_disk_free_bytes 1.4e+08" in metrics
    assert "gateway_disk_needed_bytes 1.5e+08" in metrics
    disk(70 * 10**6)
    await state.disk.read()
    refused = await client.post("/v1/jobs", json=BODY)
    assert refused.status_code == 503
    assert "send media as URLs" not in refused.json()["detail"]
