"""The page that shows the API, in a real browser: it works, and it asks nobody but us."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.conftest import new_settings
from tests.gateway.web.live import listening

pytestmark = pytest.mark.browser
_QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        assert "CI" not in os.environ, "there is no Chromium, and CI must not skip this"
        pytest.skip("NO CHROMIUM: the page of the API was not looked at (make extras)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_QUIET))
        yield browser
        browser.close()


def test_the_page_shows_every_operation_and_asks_nobody_else(
    browser: Browser, redis_url: str, tmp_path: Path
) -> None:
    with listening(new_settings(redis_url, tmp_path)) as url:
        asked: list[str] = []
        complaints: list[str] = []
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type == "error" else None
        )
        page.goto(f"{url}/docs")
        page.wait_for_selector(".opblock")
        shown = page.inner_text("body")
        for path in (
            "/v1/jobs",
            "/v1/jobs/{job_id}/cancel",
            "/v1/endpoints",
            "/callbacks/{token}",
            "/metrics",
        ):
            assert path in shown.replace("\u200b", "")
        assert [other for other in asked if not other.startswith((url, "data:", "blob:"))] == []
        assert complaints == []
