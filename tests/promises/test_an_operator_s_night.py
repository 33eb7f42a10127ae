"""From an alarm to a repaired job, in a real browser, with real processes and a real video."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from gateway.tenants import Scope
from tests.browsing import Watched, chromium, watch
from tests.processes import UPSTREAM_KEY, Machine
from tests.promises.conftest import Subscriber, eventually, job_of, post

pytestmark = [pytest.mark.processes, pytest.mark.browser]
#: Nothing of what went wrong mends itself while the operator looks.
PATIENT = {
    "GATEWAY_ACCOUNT_RETRY_SECONDS": "3600",
    "GATEWAY_UNKNOWN_GRACE_SECONDS": "3600",
    "GATEWAY_ALLOW_PRIVATE_MEDIA_URLS": "1",
}
PATIENCE_MS = 60_000


@pytest.fixture
def configured() -> dict[str, str]:
    return PATIENT


@pytest.fixture
def patient(service: Machine) -> Machine:
    service.start_sandbox(render="full", task_seconds="0.3")
    return service


@pytest.fixture
def watched(patient: Machine) -> Iterator[Watched]:
    """A browser in which an operator is signed in, on the first page."""
    key = patient.make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])
    with chromium() as browser:
        seen = watch(browser.new_page())
        seen.page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        seen.page.goto(f"{patient.gateway}/ops")
        seen.page.get_by_label("Key").fill(key)
        seen.page.get_by_role("button", name="Sign in").click()
        expect(seen.page.get_by_text("No alarms.")).to_be_visible()
        yield seen


def order(service: Machine, subscriber: Subscriber, prompt: str = "a fox") -> str:
    """The id of a job that the sandbox can really render."""
    picture = f"{service.sandbox}/samples/dusk-hills.jpg"
    return post(service, subscriber, prompt=prompt, images=[picture], duration=1, resolution="540p")


def strike_next(service: Machine, fault: str) -> None:
    """The sandbox refuses the next creation."""
    body = json.dumps({"fault": fault}).encode()
    headers = {"Authorization": f"Bearer {UPSTREAM_KEY}"}
    request = urllib.request.Request(f"{service.sandbox}/admin/faults", body, headers)
    urllib.request.urlopen(request, timeout=5).close()


def confirm(page: Page, ask: str, answer: str) -> None:
    page.get_by_role("button", name=ask).click()
    page.locator(".ask:popover-open").get_by_role("button", name=answer, exact=True).click()


def test_from_an_alarm_to_a_repaired_job(patient: Machine, subscriber: Subscriber, watched: Watched) -> None:
    page = watched.page
    lost = order(patient, subscriber, "a fox [[fault:drop_after_accept]] [[fault:lost_callback]]")
    subscriber.answers.append(410)
    unheard = order(patient, subscriber)
    eventually(lambda: subscriber.refused == 1)
    strike_next(patient, "402")
    refused = order(patient, subscriber)
    eventually(lambda: len(patient.ledger("post")) == 3)
    waits = order(patient, subscriber)

    # The alarm shows by itself, and leads to where something can be done about it.
    alarm = page.locator("#alarm-AccountParked")
    expect(alarm).to_be_visible()
    alarm.get_by_role("link", name="Open").click()
    expect(page.get_by_text("HTTP 402")).to_be_visible()
    assert job_of(patient, waits)["status"] == "queued"
    confirm(page, "Resume account", "Resume account")
    expect(page.get_by_text("Account resumed.")).to_be_visible()
    for job in (waits, refused):
        assert job_of(patient, job, wait=30)["status"] == "completed"

    # The answer that was lost: found, read, and repaired by its task's id.
    page.get_by_role("link", name="Overview").click()
    expect(alarm).to_be_hidden()
    page.locator("a.tile", has_text="Unknown outcomes").click()
    page.locator(f"tr#{lost}").get_by_role("link").first.click()
    expect(page.get_by_text("it is unknown whether the job was paid for")).to_be_visible()
    [task] = [fact["task_id"] for fact in patient.ledger("post") if f".{lost}." in fact["callback_token"]]
    page.get_by_role("button", name="Bind task").click()
    page.get_by_label("Task id").fill(task)
    page.get_by_label("Task id").press("Enter")
    expect(page.locator(".lead .badge.completed")).to_be_visible()
    expect(page.locator("video[src]")).to_be_visible()
    eventually(lambda: bool(page.evaluate("document.querySelector('video').readyState >= 1")))
    assert page.evaluate("document.querySelector('video').duration") == pytest.approx(1, abs=0.5)
    assert patient.charges() == dict.fromkeys([lost, unheard, waits, refused], 1)

    # The webhook that was given up: sent again, with the same id.
    page.get_by_role("link", name="Overview").click()
    page.locator("#alarm-DeadLetters").get_by_role("link", name="Open").click()
    page.get_by_role("link", name="job.completed").click()
    expect(page.get_by_text("answered 410 Gone")).to_be_visible()
    confirm(page, "Redeliver", "Redeliver")
    expect(page.locator(".lead .badge.delivered")).to_be_visible()
    assert len(subscriber.events_of(unheard)) == 1

    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_text("No alarms.")).to_be_visible()
    page.get_by_role("link", name="Log").click()
    for act in ("account resumed", "job resolved", "delivery sent again"):
        expect(page.get_by_text(act)).to_be_visible()
    assert watched.asked_elsewhere(patient.gateway, patient.sandbox) == []
    assert watched.complaints == []


def test_a_form_is_filled_in_without_a_mouse_and_nothing_takes_it_away(
    patient: Machine, subscriber: Subscriber, watched: Watched
) -> None:
    page = watched.page
    page.goto(f"{patient.gateway}/ops/upstream")
    page.get_by_role("button", name="Pause service").focus()
    page.keyboard.press("Enter")
    reason = page.locator(".ask:popover-open").get_by_label("Reason")
    reason.focus()
    page.keyboard.type("the upstream moves")
    job = order(patient, subscriber)  # things go on behind the form
    assert job_of(patient, job, wait=30)["status"] == "completed"
    expect(page.locator("#link")).to_contain_text("paused")
    expect(reason).to_have_value("the upstream moves")
    page.keyboard.press("Escape")
    expect(reason).to_be_hidden()
    page.get_by_role("button", name="Pause service").focus()
    page.keyboard.press("Enter")
    reason.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("The service is paused")).to_be_visible()
    assert watched.complaints == []


def test_no_page_is_wider_than_the_screen(patient: Machine, subscriber: Subscriber, watched: Watched) -> None:
    page = watched.page
    subscriber.answers.append(410)
    job = order(patient, subscriber)
    eventually(lambda: subscriber.refused == 1)
    for path in (
        "",
        "/queue",
        "/jobs?tenant=acme",
        f"/jobs/{job}",
        "/tenants",
        "/tenants/acme",
        "/deliveries",
    ):
        page.goto(f"{patient.gateway}/ops{path}")
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
