"""The page that shows the API, in a real browser: it works, and it asks nobody but us."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browsing import chromium, watch
from tests.conftest import new_settings
from tests.gateway.web.live import listening

pytestmark = pytest.mark.browser


def test_the_page_shows_every_operation_and_asks_nobody_else(redis_url: str, tmp_path: Path) -> None:
    with listening(new_settings(redis_url, tmp_path)) as url, chromium() as browser:
        watched = watch(browser.new_page())
        watched.page.goto(f"{url}/docs")
        watched.page.wait_for_selector(".opblock")
        shown = watched.page.inner_text("body")
        for path in (
            "/v1/jobs",
            "/v1/jobs/{job_id}/cancel",
            "/v1/endpoints",
            "/callbacks/{token}",
            "/metrics",
        ):
            assert path in shown.replace("\u200b", "")
        assert watched.asked_elsewhere(url) == []
        assert watched.complaints == []
