"""A real browser plays our copy of a video: on the job's page, and by a link that somebody was sent."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path
from urllib.parse import urlsplit

import av
import pytest

from gateway.assets import Variant
from gateway.media.links import content_link
from gateway.resources import open_resources
from gateway.tenants import Scope
from tests.browsing import chromium, watch
from tests.conftest import new_settings
from tests.gateway.web.api.copying import completed, copied
from tests.gateway.web.conftest import add_key
from tests.gateway.web.live import listening

pytestmark = pytest.mark.timeout(120)
_PLAYED = "() => { const v = document.querySelector('video'); return v && v.currentTime > 0.2; }"


def film() -> bytes:
    """Two seconds that Chromium can play without any codec of others: VP9 in WebM."""
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libvpx-vp9", rate=12)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(24):
            picture = av.VideoFrame(320, 180, "rgb24")
            picture.planes[0].update(bytes((number * 10, 90, 160)) * (picture.planes[0].buffer_size // 3))
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return file.getvalue()


def test_a_browser_plays_our_copy(redis_url: str, empty_redis: None, tmp_path: Path) -> None:
    settings = new_settings(redis_url, tmp_path)

    async def prepare() -> tuple[str, str, str]:
        async with open_resources(settings, retries=1) as resources:
            key = await add_key(resources, "platform", [Scope.OPS_READ])
            job = await completed(resources)
            await copied(resources, job, raw=film(), media_type="video/webm")
            await copied(resources, job, Variant.WATERMARKED, b"mark")
            until = int(resources.environment.clock()) + 600
            return key, job.id, content_link(resources.keyring, "", job.id, Variant.VIDEO, until)

    key, job_id, link = asyncio.run(prepare())
    with listening(settings) as url, chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 1000})
        watched = watch(context.new_page())
        page = watched.page
        page.goto(f"{url}/ops/login")
        page.fill("input[name=key]", key)
        page.press("input[name=key]", "Enter")
        page.wait_for_url(f"{url}/ops")
        page.goto(f"{url}/ops/jobs/{job_id}")
        page.wait_for_selector("video")
        page.evaluate("() => { const v = document.querySelector('video'); v.muted = true; v.play(); }")
        page.wait_for_function(_PLAYED)
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/job.png", full_page=True)
            page.goto(f"{url}/ops/tenants/acme")
            page.screenshot(path=f"{folder}/tenant.png", full_page=True)
            page.goto(f"{url}/ops/tenants")
            page.screenshot(path=f"{folder}/tenants.png", full_page=True)
        assert watched.complaints == []
        assert watched.asked_elsewhere(url) == []
        stranger = watch(browser.new_context().new_page())
        stranger.page.goto(url + link)
        stranger.page.evaluate(
            "() => { const v = document.querySelector('video'); v.muted = true; return v.play(); }"
        )
        stranger.page.wait_for_function(_PLAYED)
        assert urlsplit(stranger.page.url).path == f"/v1/jobs/{job_id}/content"
        assert [one for one in stranger.complaints if "favicon" not in one] == []
