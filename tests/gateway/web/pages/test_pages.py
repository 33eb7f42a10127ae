"""What the pages show, and what their forms do."""

from __future__ import annotations

import re
from html import unescape

import httpx
import orjson
import pytest

from gateway.assets import Asset, AssetState, Variant
from gateway.media.folder import FolderStore
from gateway.money.budgets import Budget, Period
from gateway.store import keys
from gateway.store.samples import Sample
from gateway.web.pages import overview
from gateway.web.pages.rendering import number, size, span
from gateway.web.state import State
from tests.gateway.web.api.copying import VIDEO, completed, copied, put_asset
from tests.gateway.web.conftest import BODY
from tests.gateway.web.ops.test_queues import make_dead_letter
from tests.gateway.web.pages.test_sessions import LOOKS, filled

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.mark.parametrize("path", [path for path in LOOKS if "0" * 26 not in path and path != "/ops/live"])
async def test_every_page_shows_with_nothing_to_show(browser: httpx.AsyncClient, path: str) -> None:
    page = await browser.get(path)
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert "<script>" not in page.text
    assert " style=" not in page.text


@pytest.mark.parametrize(
    "path",
    [
        filled(f"/ops/{one}")
        for one in (
            "jobs/{job_id}",
            "deliveries/{delivery_id}",
            "endpoints/{endpoint_id}",
            "jobs/x",
            "deliveries/x",
            "endpoints/x",
        )
    ],
)
async def test_what_is_not_there_is_a_page_that_says_so(browser: httpx.AsyncClient, path: str) -> None:
    page = await browser.get(path)
    assert page.status_code == 404
    assert "Not found" in page.text


async def test_a_fault_of_ours_is_a_page_that_reveals_nothing_of_it(
    browser: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("what only we should see")

    monkeypatch.setattr(type(state.resources.gauges), "read", broken)
    page = await browser.get("/ops")
    assert page.status_code == 500
    assert "our fault" in page.text
    assert "only we" not in page.text


@pytest.mark.parametrize("query", ["role=none", "role=submit&role=confirm", "plain=1"])
async def test_a_query_that_means_nothing_is_refused(browser: httpx.AsyncClient, query: str) -> None:
    assert (await browser.get(f"/ops/queue?{query}")).status_code == 400


async def test_what_others_wrote_is_shown_as_text(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, state: State, token: str
) -> None:
    job = (await client.post("/v1/jobs", json={**BODY, "prompt": HOSTILE})).json()
    made = await client.post(
        "/v1/endpoints", json={"url": "http://127.0.0.1:9000/hook", "description": HOSTILE}
    )
    await state.resources.tenants.change("acme", {"title": HOSTILE}, "test")
    await browser.post("/ops/tenants/acme/pause", data={"token": token, "reason": HOSTILE})
    endpoint = made.json()["id"]
    for path in (f"jobs/{job['id']}", f"endpoints/{endpoint}", "tenants", "tenants/acme", "log"):
        text = (await browser.get(f"/ops/{path}")).text
        assert "&lt;script&gt;" in text
        assert "<script>alert" not in text
        assert "<img src=x" not in text


async def test_a_job_s_page_shows_its_timeline_and_cancels_it(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, token: str
) -> None:
    name = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    page = (await browser.get(f"/ops/jobs/{name}")).text
    assert "accepted and stored durably" in page
    assert str(BODY["prompt"]) in page
    done = await browser.post(f"/ops/jobs/{name}/cancel", data={"token": token})
    assert done.headers["location"] == f"/ops/jobs/{name}?said=canceled"
    after = (await browser.get(done.headers["location"])).text
    assert "Job canceled." in after
    assert "/cancel" not in after
    again = await browser.post(f"/ops/jobs/{name}/resolve", data={"token": token, "action": "fail"})
    assert (again.status_code, "only a job whose outcome is unknown" in again.text) == (409, True)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({}, "action"),
        ({"action": "guess"}, "action"),
        ({"action": "bind"}, "task_id"),
        ({"action": "fail", "more": "x"}, "more"),
    ],
)
async def test_a_form_that_says_something_else_is_refused_by_its_field(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, token: str, form: dict[str, str], told: str
) -> None:
    name = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    refused = await browser.post(f"/ops/jobs/{name}/resolve", data={"token": token, **form})
    assert refused.status_code == 422
    assert f"<code>{told}</code>" in refused.text


async def test_a_result_may_be_played_from_where_it_lies_and_from_nowhere_else(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, state: State
) -> None:
    name = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    videos = ["https://cdn.example.com/v.mp4", "javascript:alert(1)"]
    output = orjson.dumps([{"content": [{"type": "video", "url": url} for url in videos]}]).decode()
    await state.resources.redis.hset(keys.job(name), "output", output)  # type: ignore[misc]
    page = await browser.get(f"/ops/jobs/{name}")
    assert "media-src 'self' https://cdn.example.com;" in page.headers["content-security-policy"]
    assert 'data-src="https://cdn.example.com/v.mp4"' in page.text
    assert "javascript:" not in page.text


async def test_a_copy_is_played_from_here_without_a_key(
    browser: httpx.AsyncClient, nobody: httpx.AsyncClient, state: State
) -> None:
    job = await copied(state.resources, await completed(state.resources, cover_url="https://up/c"))
    failed = Asset(AssetState.FAILED, "https://up/c", reason="not_a_picture")
    await put_asset(state.resources, job, Variant.COVER, failed)
    page = await browser.get(f"/ops/jobs/{job.id}")
    assert "media-src 'self';" in page.headers["content-security-policy"]
    [source] = re.findall(r'data-src="([^"]+)"', page.text)
    played = await nobody.get(unescape(source), headers={"Range": "bytes=0-9"})
    assert (played.status_code, played.content) == (206, VIDEO[:10])
    files = page.text.partition('id="files"')[2].partition("</section>")[0]
    for shown in ("250 KB", "video/mp4", "stored", "not a picture"):
        assert shown in files


async def test_a_copy_in_a_bucket_is_played_from_there(
    browser: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sign(_: FolderStore, key: str, seconds: int, **named: object) -> str | None:
        return f"https://bucket.example.com/{key}?s=1"

    monkeypatch.setattr(FolderStore, "sign", sign)
    job = await copied(state.resources, await completed(state.resources))
    page = await browser.get(f"/ops/jobs/{job.id}")
    assert "media-src 'self' https://bucket.example.com;" in page.headers["content-security-policy"]
    assert f'data-src="https://bucket.example.com/results/{job.id}/video.mp4?s=1"' in page.text


async def test_the_pages_of_tenants_show_their_files(browser: httpx.AsyncClient, state: State) -> None:
    usage = {"media": 1024, "uploads": 2048, "upload_count": 2, "results": 3 << 20, "archived": 5 << 20}
    await state.resources.redis.hset(keys.tenant_usage("platform"), mapping=usage)  # type: ignore[misc]
    listed = (await browser.get("/ops/tenants")).text
    assert "inline media 1.0 KB, uploads 2.0 KB, results 3.0 MB, archived jobs 5.0 MB" in listed
    assert ">8.0 MB<" in listed
    page = (await browser.get("/ops/tenants/platform")).text
    for shown in (
        "2.0 KB",
        "of 10.0 GB, 2 of 1,000 files",
        "3.0 MB",
        "of 50.0 GB, copies of videos",
        "5.0 MB",
    ):
        assert shown in page


async def test_everything_is_paused_and_resumed(browser: httpx.AsyncClient, token: str, state: State) -> None:
    await browser.post("/ops/pause", data={"token": token, "reason": "the upstream moves"})
    page = (await browser.get("/ops/upstream")).text
    assert "The service is paused" in page
    assert "the upstream moves" in page
    assert "ServicePaused" in (await browser.get("/ops")).text
    await browser.post("/ops/resume", data={"token": token})
    assert (await state.resources.gauges.work_in_progress()).paused is None


async def test_the_account_is_paused_and_resumed(browser: httpx.AsyncClient, token: str) -> None:
    refused = await browser.post("/ops/accounts/main/pause", data={"token": token})
    assert (refused.status_code, "<code>reason</code>" in refused.text) == (422, True)
    await browser.post("/ops/accounts/main/pause", data={"token": token, "reason": "unpaid"})
    assert "unpaid" in (await browser.get("/ops/upstream")).text
    assert "AccountParked" in (await browser.get("/ops")).text
    await browser.post("/ops/accounts/main/resume", data={"token": token})
    assert "AccountParked" not in (await browser.get("/ops")).text


async def test_a_tenant_is_paused_and_resumed(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, token: str, state: State
) -> None:
    await browser.post("/ops/tenants/acme/pause", data={"token": token, "reason": "too much"})
    for path in ("/ops/tenants/acme", "/ops/tenants", "/ops/queue"):
        assert "acme" in (await browser.get(path)).text
    assert "too much" in (await browser.get("/ops/tenants/acme")).text
    await browser.post("/ops/tenants/acme/resume", data={"token": token})
    assert (await state.resources.tenants.read("acme")).paused_at is None


async def test_budgets_of_a_tenant_are_set_all_at_once(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, token: str, state: State
) -> None:
    where = "/ops/tenants/acme/budgets"
    answer = await browser.post(where, data={"token": token, "day": "10", "month": "100:soft"})
    assert answer.status_code == 303
    page = (await browser.get("/ops/tenants/acme")).text
    assert 'name="day" value="10.0000"' in page
    assert 'name="month" value="100.0000:soft"' in page
    assert 'name="total" value=""' in page
    refused = await browser.post(where, data={"token": token, "day": "-1", "total": "x"})
    assert (refused.status_code, refused.text.count("send an amount such as")) == (422, 2)
    await browser.post(where, data={"token": token, "total": "3"})
    assert (await state.resources.tenants.read("acme")).budgets == {Period.TOTAL: Budget(3_000_000, True)}


async def test_dead_letters_are_sent_again_one_or_all(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, token: str, state: State
) -> None:
    first, second = (
        await make_dead_letter(client, state.resources),
        await make_dead_letter(client, state.resources),
    )
    page = (await browser.get("/ops/deliveries")).text
    assert first in page
    assert second in page
    one = await browser.post(f"/ops/deliveries/{first}/redeliver", data={"token": token})
    assert one.headers["location"] == f"/ops/deliveries/{first}?said=sent_again"
    rest = await browser.post("/ops/deliveries/redeliver", data={"token": token, "number": "50"})
    assert rest.headers["location"] == "/ops/deliveries?said=all_sent_again&number=1"
    assert "No dead letters" in (await browser.get("/ops/deliveries")).text
    assert first in (await browser.get("/ops/deliveries?tenant=acme&state=pending")).text


async def test_an_endpoint_is_paused_resumed_and_recovered(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, token: str, state: State
) -> None:
    made = await client.post("/v1/endpoints", json={"url": "http://127.0.0.1:9000/hook"})
    name = made.json()["id"]
    sent = {"token": token, "subscriber": name}
    await browser.post("/ops/subscribers/pause", data={**sent, "reason": "it asked us to"})
    assert "No paused subscribers" not in (await browser.get("/ops/endpoints")).text
    assert name in (await browser.get("/ops/endpoints?tenant=acme")).text
    assert (await state.resources.lanes.health(name)).paused
    await browser.post("/ops/subscribers/resume", data=sent)
    assert not (await state.resources.lanes.health(name)).paused
    begun = await browser.post(f"/ops/endpoints/{name}/recover", data={"token": token})
    assert begun.headers["location"] == f"/ops/endpoints/{name}?said=recovering"
    assert "running" in (await browser.get(f"/ops/endpoints/{name}")).text
    nobody = await browser.post("/ops/subscribers/resume", data={"token": token})
    assert nobody.status_code == 409


async def test_a_job_is_found_by_its_id_and_by_its_tenant(
    browser: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    name = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    found = await browser.get(f"/ops/jobs?job={name}")
    assert found.headers["location"] == f"/ops/jobs/{name}"
    assert name in (await browser.get("/ops/jobs?tenant=acme&phase=")).text
    assert name not in (await browser.get("/ops/jobs?tenant=acme&phase=failed")).text


async def test_who_waits_is_seen_lane_by_lane(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, token: str
) -> None:
    await browser.post("/ops/pause", data={"token": token, "reason": "to see them wait"})
    name = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    assert 'id="lane-acme"' in (await browser.get("/ops/queue")).text
    assert "0 jobs ahead in its lane" in (await browser.get(f"/ops/jobs/{name}")).text


async def test_those_who_may_only_read_are_shown_no_button(onlooker: httpx.AsyncClient) -> None:
    page = (await onlooker.get("/ops/upstream")).text
    assert "Pause service" not in page


async def test_the_assets_are_ours_and_may_be_kept(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/ops")).text
    wanted = re.findall(r'(?:src|href)="(/ops/static/[^"]+)"', page)
    assert len(wanted) >= 7
    for path in wanted:
        answer = await browser.get(path)
        assert answer.status_code == 200
        assert "no-store" not in answer.headers.get("cache-control", "")


def sample(minute: float, **counts: int) -> Sample:
    names = [name for name in Sample.__slots__ if name != "job_times"]
    return Sample(**dict.fromkeys(names, 0) | counts | {"at": int(minute * 60_000)})  # type: ignore[arg-type]


def test_plots_are_rates_a_minute_between_samples() -> None:
    found = overview.plots(
        [sample(0), sample(2, accepted=10, completed=4, finished=6, attempts=8, delivered=6)]
    )
    assert found["at"] == [120]
    assert (found["accepted"], found["completed"], found["failed"]) == ([5], [2], [1])
    assert (found["sent"], found["refused"]) == ([3], [1])


def test_an_hour_is_a_point_a_minute() -> None:
    hour = [sample(at / 4) for at in range(240)]
    assert 58 <= len(overview.thinned(hour)) <= 62
    assert overview.thinned(hour[:20]) == hour[:20]
    assert overview.plots([]) == {name: [] for name in overview.plots([])}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.25, "250 ms"),
        (42, "42 s"),
        (60, "1 min"),
        (3725, "1 h 2 min"),
        (90_000, "1 d 1 h"),
        (7200, "2 h"),
    ],
)
def test_lengths_of_time_are_said_in_two_units(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


def test_numbers_are_said_as_people_read_them() -> None:
    assert (number(1234567), number(None)) == ("1,234,567", "–")
    assert (size(512), size(1536), size(3 * 2**20)) == ("512 B", "1.5 KB", "3.0 MB")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("[", None),
        ("[::1", None),
        ("[::1]:8443", "https://[::1]:8443"),
        ("видео.рф", "https://xn--b1aedk6a.xn--p1ai"),
        ("℀.com", None),
        ("😀.com:444", "https://xn--e28h.com:444"),
        ("a\x00b", None),
        ("a\x7f\x85b", None),
        ("a.com:99999", None),
        ("a;b.com", None),
        ("user@a.com", "https://a.com"),
    ],
)
async def test_a_result_under_any_url_leaves_the_page_whole(
    browser: httpx.AsyncClient, client: httpx.AsyncClient, state: State, host: str, origin: str | None
) -> None:
    name = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    output = orjson.dumps([{"content": [{"type": "video", "url": f"https://{host}/v.mp4"}]}]).decode()
    await state.resources.redis.hset(keys.job(name), "output", output)  # type: ignore[misc]
    page = await browser.get(f"/ops/jobs/{name}")
    assert page.status_code == 200
    allowed = f"media-src 'self' {origin};" if origin else "media-src 'self';"
    assert allowed in page.headers["content-security-policy"]
