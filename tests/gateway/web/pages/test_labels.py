"""What a page calls things is true at the moment when it is read."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from gateway.dispatch import Role
from gateway.environment import Environment
from gateway.jobs import confirm_ticket, submit_ticket
from gateway.lifecycle import DeliveryEvent
from gateway.store import keys
from gateway.tenants import Key, Scope
from gateway.web.alarms import ALERTS
from gateway.web.pages import webhooks
from gateway.web.pages.rendering import planned, when
from gateway.web.state import State
from tests.gateway.store.conftest import held
from tests.gateway.web.conftest import BODY
from workers.heartbeat import Heartbeat

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC).timestamp()


def test_a_planned_time_that_has_passed_is_no_longer_shown_as_a_plan() -> None:
    later = planned("2026-11-22T08:00:05Z", NOW, "due", "next: ")
    assert later.startswith('<span class="planned">next: <time')
    assert 'data-past="due"' in later  # what the script on the page shows from then on
    assert planned("2026-11-22T07:59:59Z", NOW, "due", "next: ") == "due"
    assert planned("2026-11-22T08:00:00Z", NOW, "due", "next: ") == "due"


def test_what_has_no_time_is_said_to_have_none() -> None:
    assert planned(None, NOW, "due", never="<never>") == "&lt;never&gt;"
    assert (when(None), when(None, "never")) == ("–", "never")


async def text_of(browser: httpx.AsyncClient, path: str, element: str) -> str:
    """The text of the element with this id, which holds no other of its kind."""
    page = (await browser.get(path)).text
    found = re.search(rf'<(\w+)[^>]*id="{element}".*?</\1>', page, re.S)
    assert found, element
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split())


@pytest.mark.parametrize(("ahead", "label"), [(600, "held"), (-1, "active")])
async def test_an_account_is_held_until_its_time_has_passed(
    browser: httpx.AsyncClient, state: State, ahead: int, label: str
) -> None:
    redis = state.resources.redis
    seconds, _ = await redis.time()
    await redis.hset(keys.account("main"), "hold_until", (seconds + ahead) * 1000)  # type: ignore[misc]
    row = await text_of(browser, "/ops/upstream", "account-main")
    assert row.startswith(f"main {label} ")
    assert (datetime.fromtimestamp(seconds + ahead, UTC).strftime("%b %d,") in row) is (label == "held")


async def test_slots_that_a_429_cut_are_shown_with_the_account(
    browser: httpx.AsyncClient, state: State
) -> None:
    redis = state.resources.redis
    seconds, _ = await redis.time()
    cut = {"slots": 1, "cut_at": seconds * 1000}
    await redis.hset(keys.account("main"), mapping=cut)  # type: ignore[misc]
    assert (await text_of(browser, "/ops/upstream", "account-main")).startswith("main slowed ")
    assert "main cut to 1 of 5" in (await browser.get("/ops")).text


async def test_a_tenant_is_not_called_active_while_nothing_of_it_can_be_sent(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, token: str
) -> None:
    for _ in range(7):
        await client.post("/v1/jobs", json=BODY)
    shown = (("/ops/queue", "lane-acme"), ("/ops/tenants", "tenant-acme"))
    for path, row in shown:
        assert (await text_of(browser, path, row)).endswith(" full")
    await browser.post("/ops/accounts/main/pause", data={"token": token, "reason": "unpaid"})
    for path, row in shown:
        assert (await text_of(browser, path, row)).endswith(" no account open")
    await browser.post("/ops/accounts/main/resume", data={"token": token})
    await browser.post("/ops/pause", data={"token": token, "reason": "a while"})
    for path, row in shown:
        assert (await text_of(browser, path, row)).endswith(" service paused")
    await browser.post("/ops/tenants/acme/pause", data={"token": token, "reason": "too much"})
    for path, row in shown:
        assert (await text_of(browser, path, row)).endswith(" paused")


async def test_a_killed_worker_is_silent_and_does_not_count(browser: httpx.AsyncClient, state: State) -> None:
    workers = state.resources.workers
    killed, alive = (Heartbeat(workers, list(Role), Environment(), lambda: 0) for _ in range(2))
    for one in (killed, alive):
        await workers.beat(one.id, one._fields | {"running": 1})
    assert "silent" not in await text_of(browser, "/ops", "workers")
    redis = state.resources.redis
    await redis.zincrby(keys.WORKERS, -11_000, killed.id)
    table = await text_of(browser, "/ops", "workers")
    assert (table.count("running"), table.count("silent")) == (1, 1)
    assert "Workers 1 1 silent" in await text_of(browser, "/ops", "tiles")
    await redis.zincrby(keys.WORKERS, -60_000, killed.id)
    assert "silent" not in await text_of(browser, "/ops", "workers")


async def test_a_key_that_expired_is_not_shown_as_one_that_will(
    browser: httpx.AsyncClient, state: State
) -> None:
    now = state.resources.environment.now_ms()
    for name, ends in (("old", now - 1), ("new", now + 600_000), ("lasting", None)):
        key = Key(name * 2, "acme", frozenset({Scope.JOBS_READ}), "digest", name, now - 10, expires_at=ends)
        await state.resources.client_keys.add(key, by="test")
    page = " ".join(re.sub(r"<[^>]+>", " ", (await browser.get("/ops/tenants/acme")).text).split())
    assert re.search(r"oldold old jobs:read \w+ \d+, [\d:]+ never expired", page)
    assert re.search(r"newnew new jobs:read \w+ \d+, [\d:]+ never \w+ \d+, [\d:]+", page)
    assert re.search(r"lastinglasting lasting jobs:read \w+ \d+, [\d:]+ never never", page)


async def test_a_subscriber_that_an_operator_paused_is_shown_with_the_operator_and_the_reason(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, token: str
) -> None:
    made = (await client.post("/v1/endpoints", json={"url": "http://127.0.0.1:9000/hook"})).json()
    sent = {"token": token, "subscriber": made["id"], "reason": "they asked"}
    await browser.post("/ops/subscribers/pause", data=sent)
    row = await text_of(browser, "/ops/endpoints", made["id"])
    assert re.search(r"acme operator [0-9a-f]{12}: they asked after it is resumed 0", row)


async def test_a_failing_subscriber_is_an_alarm_that_names_it_and_leads_to_its_page(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, state: State
) -> None:
    resources = state.resources
    made = (await client.post("/v1/endpoints", json={"url": "http://127.0.0.1:9000/hook"})).json()
    posted = (await client.post("/v1/jobs", json=BODY)).json()
    job = await resources.jobs.read(posted["id"])
    assert job
    await resources.settlement.cancel(job, [submit_ticket(job), confirm_ticket(job)])
    [delivery] = await resources.deliveries.of_job(job.id)
    ticket = await held(resources.redis, Role.DELIVER, delivery.id)
    delivery.log.append({"url": made["url"], "outcome": "http_5xx", "status": 500})
    await resources.deliveries.finish(
        ticket, delivery, DeliveryEvent.ATTEMPT_FAILED, retry_in_ms=60_000, tally=[], health_ok=False
    )
    assert "SubscriberFails" not in (await browser.get("/ops")).text
    await resources.redis.zincrby(keys.FAILING, -600_000, made["id"])
    alarm = await text_of(browser, "/ops", f"alarm-SubscriberFails-{made['id']}")
    assert "subscriber http://127.0.0.1:9000/hook of tenant acme has failed for 10 min: HTTP 500" in alarm
    assert f'<a href="/ops/endpoints/{made["id"]}">Open</a>' in (await browser.get("/ops")).text
    assert "HTTP 500" in await text_of(browser, "/ops/endpoints", f"failing-{made['id']}")
    metrics = (await browser.get("/metrics")).text
    assert 'gateway_subscriber_failing_seconds{error="HTTP 500",' in metrics
    assert 'url="http://127.0.0.1:9000"' in metrics


async def test_what_was_done_is_said_of_what_it_was_done_to(browser: httpx.AsyncClient, token: str) -> None:
    await browser.post("/ops/pause", data={"token": token, "reason": "a while"})
    await browser.post("/ops/accounts/main/pause", data={"token": token, "reason": "unpaid"})
    done = await browser.post("/ops/accounts/main/resume", data={"token": token})
    page = (await browser.get(done.headers["location"])).text
    assert "Account resumed." in page
    assert "Service resumed." not in page


async def test_a_disabled_endpoint_is_shown_with_its_reason_and_who_can_enable_it(
    browser: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    made = (await client.post("/v1/endpoints", json={"url": "http://127.0.0.1:9000/hook"})).json()
    await client.patch(f"/v1/endpoints/{made['id']}", json={"disabled": True})
    page = (await browser.get(f"/ops/endpoints/{made['id']}")).text
    assert f"vidu-gateway endpoints enable {made['id']}" in page
    assert "Recover the last day" not in page


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/ops/deliveries?state=delivered", "Enter a tenant to filter by state."),
        ("/ops/jobs?phase=queued", "Enter a tenant to filter by phase."),
    ],
)
async def test_a_filter_that_needs_a_tenant_says_so(browser: httpx.AsyncClient, path: str, hint: str) -> None:
    assert hint in (await browser.get(path)).text
    assert hint not in (await browser.get(f"{path}&tenant=acme")).text
    assert hint not in (await browser.get(path.partition("?")[0])).text


async def test_a_list_of_deliveries_that_is_cut_says_where_the_others_are(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "PAGE", 1)
    for _ in range(2):
        job = (await client.post("/v1/jobs", json=BODY | {"callback_url": "http://127.0.0.1:9000/x"})).json()
        await client.post(f"/v1/jobs/{job['id']}/cancel")
    hint = "GET /ops/api/deliveries?tenant=acme"
    assert hint in (await browser.get("/ops/deliveries?tenant=acme")).text
    monkeypatch.setattr(webhooks, "PAGE", 2)
    assert hint not in (await browser.get("/ops/deliveries?tenant=acme")).text


async def test_the_overview_names_the_alerts_that_it_does_not_have(browser: httpx.AsyncClient) -> None:
    """Those of Redis and of the gateway itself are known without it: the page is stale, or not there."""
    rules = (Path(__file__).parents[4] / "deploy" / "prometheus" / "rules.yaml").read_text()
    elsewhere = set(re.findall(r"alert: (\w+)", rules)) - ALERTS.keys() - {"RedisAway", "GatewayAbsent"}
    page = (await browser.get("/ops")).text
    assert f"Only Prometheus raises {', '.join(sorted(elsewhere))}." in page
