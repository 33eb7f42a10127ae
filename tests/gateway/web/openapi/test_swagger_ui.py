"""The page that shows the API, in a real browser: it works, and it asks nobody but us."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import pytest

from tests.browsing import Watched, chromium, watch
from tests.conftest import new_settings
from tests.gateway.web.live import listening
from tests.gateway.web.parsing import document

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Browser]]:
    folder = tmp_path_factory.mktemp("docs")
    with listening(new_settings(redis_url, folder)) as url, chromium() as browser:
        yield url, browser


def shown(page: tuple[str, Browser], query: str = "", scheme: Literal["light", "dark"] = "light") -> Watched:
    """The page, when it shows an operation. It asked nobody else and complained of nothing."""
    url, browser = page
    watched = watch(browser.new_context(color_scheme=scheme).new_page())
    watched.page.goto(f"{url}/docs{query}")
    watched.page.wait_for_selector(".opblock")
    assert watched.asked_elsewhere(url) == []
    assert watched.complaints == []
    return watched


def paths(watched: Watched) -> set[str]:
    found = watched.page.locator(".opblock-summary-path").all_inner_texts()
    return {text.replace("\u200b", "").strip() for text in found}


def test_clients_and_operators_have_pages_of_their_own_which_show_everything(
    page: tuple[str, Browser],
) -> None:
    clients, operators = paths(shown(page)), paths(shown(page, "?api=operators"))
    assert {"/v1/jobs", "/v1/jobs/{job_id}/cancel", "/v1/endpoints"} <= clients
    assert {"/ops/api/jobs", "/callbacks/{token}", "/metrics"} <= operators
    assert not clients & operators
    assert clients | operators == set(document()["paths"])


def test_doors_and_events_have_a_page_each(page: tuple[str, Browser]) -> None:
    assert "/ent/v2/reference2video" in paths(shown(page, "?api=vidu"))
    assert "/model/v1/generation" in paths(shown(page, "?api=vtrix"))
    assert len(paths(shown(page, "?api=events"))) == len(document()["webhooks"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_operation_shows_examples_in_three_languages_on_light_and_dark(
    page: tuple[str, Browser], scheme: Literal["light", "dark"]
) -> None:
    watched = shown(page, "#/jobs/createJob", scheme)
    watched.page.wait_for_selector(".samples pre")
    texts = []
    for name in ("curl", "Python", "JavaScript"):
        watched.page.get_by_role("button", name=name, exact=True).click()
        texts.append(watched.page.inner_text(".samples pre"))
    curl, python, javascript = texts
    assert "curl -sS -X POST $GATEWAY/v1/jobs" in curl
    compile(python, "sample", "exec")
    assert "json={" in python
    assert "JSON.stringify({" in javascript
    for text in texts:
        assert "Idempotency-Key" in text
        assert "viduq2_pro_reference" in text
    background = watched.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(28, 32, 34)")
    assert watched.complaints == []
