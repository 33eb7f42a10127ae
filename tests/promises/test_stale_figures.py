"""With a store that hangs, nobody is shown old figures as if they still held."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import redis
from playwright.sync_api import expect

from gateway.store import keys
from gateway.tenants import Scope
from tests.browsing import chromium, watch
from tests.processes import Machine
from tests.promises.conftest import eventually

pytestmark = pytest.mark.processes
PATIENCE_MS = 60_000
#: A slow machine must show the time before it passes. Then the page's own clock is put forward.
PLANNED_SECONDS = 600
#: Runs in the page. Ends with the time in ms from now until it shows its figures as stale.
UNTIL_STALE = """
    async () => {
      const begun = performance.now();
      while (!document.body.classList.contains("stale")) await new Promise((go) => setTimeout(go, 20));
      return performance.now() - begun;
    }
"""


@contextlib.contextmanager
def frozen(service: Machine) -> Iterator[None]:
    os.kill(service.valkey.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(service.valkey.pid, signal.SIGCONT)


@pytest.mark.browser
def test_a_page_shows_that_its_figures_are_stale_and_how_old_and_is_live_again_after(
    service: Machine,
) -> None:
    key = service.make_key("platform", [Scope.OPS_READ])
    with chromium() as browser:
        page = watch(browser.new_page()).page
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.goto(f"{service.gateway}/ops")
        page.get_by_label("Key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        for path in ("", "/upstream", "/queue"):
            page.goto(f"{service.gateway}/ops{path}")
            expect(page.locator("#link")).to_have_text("live")
            with frozen(service):
                waited = page.evaluate(UNTIL_STALE)
                print(f"stale after {waited:.0f} ms")
                expect(page.locator("#stale")).to_contain_text("cannot read Redis")
                expect(page.locator("#stale")).to_contain_text("s old")
                expect(page.locator("#link")).to_contain_text("stale")
                expect(page.get_by_text("No alarms.")).to_be_hidden()
            expect(page.locator("#link")).to_have_text("live")
            expect(page.locator("#stale")).to_be_hidden()


@pytest.mark.browser
def test_a_planned_time_that_passes_is_no_longer_shown_even_on_a_page_that_cannot_be_refreshed(
    service: Machine,
) -> None:
    key = service.make_key("platform", [Scope.OPS_READ])
    with chromium() as browser:
        page = watch(browser.new_page()).page
        page.clock.install()
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.goto(f"{service.gateway}/ops/upstream?said=paused")
        page.get_by_label("Key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("Service paused.")).to_be_visible()
        expect(page).to_have_url(f"{service.gateway}/ops/upstream")  # after a reload it would be said no more
        with redis.Redis.from_url(service.url) as client:
            client.hset(keys.account("main"), "hold_until", (client.time()[0] + PLANNED_SECONDS) * 1000)
        planned = page.locator("#account-main .planned")
        expect(planned.locator("time")).to_be_visible()
        with frozen(service):
            page.clock.fast_forward(PLANNED_SECONDS * 1000)
            expect(planned).to_have_text("–")


@pytest.mark.parametrize("command", [["status", "--watch", "1"], ["top", "--every", "1"]])
def test_the_command_line_shows_that_its_figures_are_stale_and_goes_on(
    service: Machine, command: list[str]
) -> None:
    key = service.make_key("platform", [Scope.OPS_READ])
    leader, follower = pty.openpty()
    words = [sys.executable, "-m", "gateway.cli", *command, "--url", service.gateway, "--key", key]
    environment = {**service.environment, "COLUMNS": "200", "TERM": "xterm"}
    child = subprocess.Popen(words, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    os.set_blocking(leader, False)
    seen = ""

    def shows(text: str) -> bool:
        nonlocal seen
        with contextlib.suppress(BlockingIOError):
            seen += os.read(leader, 65_536).decode(errors="replace")
        if text not in seen:
            return False
        seen = ""
        return True

    try:
        eventually(lambda: shows("figures are"))
        with frozen(service):
            eventually(lambda: shows("STALE: figures are"))
        eventually(lambda: shows("figures are 0 s old"))
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 0
    finally:
        child.kill()
        os.close(leader)
