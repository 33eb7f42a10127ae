"""A result is copied before its address dies: whole, checked, and once."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from gateway.assets import AssetState, Variant
from gateway.lifecycle import JobState
from tests.workers.conftest import Rig
from tests.workers.mirroring import MirrorRig, mirroring, movie, sends


@pytest.fixture
async def mirror(rig: Rig) -> AsyncIterator[MirrorRig]:
    async with mirroring(rig) as made:
        made.results.handlers["/v.mp4"] = sends(movie())
        yield made


async def test_a_completed_job_is_copied_and_the_copy_is_what_the_upstream_sent(mirror: MirrorRig) -> None:
    job = await mirror.completed()
    assert job.state is JobState.COMPLETED
    assert job.assets[Variant.VIDEO].state is AssetState.PENDING
    asset = await mirror.copy(job)
    assert (asset.state, asset.size, asset.media_type) == (AssetState.STORED, len(movie()), "video/mp4")
    assert asset.sha256 == hashlib.sha256(movie()).hexdigest()
    assert asset.key == f"results/{job.id}/video.mp4"
    assert await mirror.stored(asset) == movie()
    assert await mirror.usage() == len(movie())
    assert await mirror.scratch() == []
    tally = await mirror.rig.tally()
    assert tally["copies|stored"] == "1"
