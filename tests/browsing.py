"""A real Chromium for the tests of pages, which notes what it complains of and whom it asks."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.extras import missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@dataclass
class Watched:
    """A page, the errors on its console, and every address that it asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def asked_elsewhere(self, *known: str) -> list[str]:
        return [url for url in self.asked if not url.startswith((*known, "data:", "blob:"))]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Skips the test where there is none."""
    from playwright.sync_api import (
        sync_playwright,
    )  # here: it takes long, and every worker collects all tests

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        missing("Chromium, which shows the pages")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_QUIET))
        yield browser
        browser.close()


def watch(page: Page) -> Watched:
    watched = Watched(page)
    page.on("request", lambda request: watched.asked.append(request.url))
    page.on(
        "console",
        lambda message: watched.complaints.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    return watched
