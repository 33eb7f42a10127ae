"""Who may read the pages, and whose forms are believed."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette

from gateway.errors import LimitReached
from gateway.settings import Settings
from gateway.store import client_keys, keys
from gateway.store.sessions import MAX_PER_KEY, Session
from gateway.tenants import Scope, digest_of
from gateway.web.http.login_limits import OVERALL, PER_ADDRESS, LoginLimits
from gateway.web.pages import overview, sessions
from gateway.web.pages.routes import PAGES
from gateway.web.state import State
from tests.gateway.web.conftest import MakeKey, connected, serving
from tests.gateway.web.pages.conftest import live_request, sign_in

OPEN = {"/ops/login", "/ops/logout"}
NAMES = {
    "{job_id}": f"job_{'0' * 26}",
    "{tenant}": "acme",
    "{account}": "main",
    "{delivery_id}": f"dlv_{'0' * 26}_callback",
    "{endpoint_id}": f"ep_{'0' * 26}",
}


@pytest.fixture
def redis(state: State) -> Redis:
    return state.resources.redis


def filled(path: str) -> str:
    for name, value in NAMES.items():
        path = path.replace(name, value)
    return path


LOOKS = [filled(path) for path, methods in PAGES.items() if "GET" in methods and path not in OPEN]
POSTED = [filled(path) for path, methods in PAGES.items() if "POST" in methods and path not in OPEN]


@pytest.mark.parametrize("path", LOOKS)
async def test_whoever_is_not_signed_in_is_led_there_and_back(nobody: httpx.AsyncClient, path: str) -> None:
    away = await nobody.get(path)
    assert (away.status_code, away.headers["location"]) == (303, f"/ops/login?next={path}")


@pytest.mark.parametrize("path", POSTED)
async def test_nobody_changes_anything_without_being_signed_in(nobody: httpx.AsyncClient, path: str) -> None:
    away = await nobody.post(path, data={"reason": "x"})
    assert (away.status_code, away.headers["location"]) == (303, "/ops/login?next=/ops")


@pytest.mark.parametrize("path", LOOKS)
async def test_a_client_s_key_opens_no_page(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 403


@pytest.mark.parametrize("path", POSTED)
async def test_who_may_only_read_cannot_change_anything(onlooker: httpx.AsyncClient, path: str) -> None:
    refused = await onlooker.post(path, data={"reason": "x"})
    assert refused.status_code == 403
    assert "ops:write" in refused.text


@pytest.mark.parametrize("path", POSTED)
async def test_a_form_without_the_session_s_token_changes_nothing(
    browser: httpx.AsyncClient, path: str
) -> None:
    for sent in ({"reason": "x"}, {"reason": "x", "token": "0" * 64}, {"reason": "x", "token": "é"}):
        refused = await browser.post(path, data=sent)
        assert refused.status_code == 403
        assert "nothing was changed" in refused.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_a_form_from_another_site_changes_nothing(
    browser: httpx.AsyncClient, token: str, state: State, headers: dict[str, str]
) -> None:
    sent = {"reason": "x", "token": token}
    assert (await browser.post("/ops/pause", data=sent, headers=headers)).status_code == 403
    assert (await browser.post("/ops/login", data={"key": "x"}, headers=headers)).status_code == 403
    assert (await state.resources.gauges.work_in_progress()).paused is None


async def test_a_session_ends_with_its_key(app: Starlette, make_key: MakeKey, state: State) -> None:
    key = await make_key("platform", [Scope.OPS_READ])
    async with connected(app) as opened:
        await sign_in(opened, key)
        assert (await opened.get("/ops")).status_code == 200
        await state.resources.client_keys.revoke(key.split("_")[1], 1, by="key1")
        assert (await opened.get("/ops")).status_code == 303


async def test_signing_out_ends_the_session_in_every_process(
    browser: httpx.AsyncClient, token: str, settings: Settings, redis: Redis
) -> None:
    cookie = {"Cookie": f"{sessions.COOKIE}={browser.cookies[sessions.COOKIE]}"}
    async with serving(settings) as other, connected(other) as thief:
        assert (await thief.get("/ops", headers=cookie)).status_code == 200
        left = await browser.post("/ops/logout", data={"leave": "1"})
        assert (left.status_code, left.headers["location"]) == (303, "/ops/login")
        assert (await browser.get("/ops")).status_code == 303
        for client in (thief, browser):
            assert (await client.get("/ops", headers=cookie)).status_code == 303
            acted = await client.post("/ops/pause", data={"reason": "x", "token": token}, headers=cookie)
            assert (acted.status_code, acted.headers["location"]) == (303, "/ops/login?next=/ops")
    assert await redis.keys("*session*") == []
    assert not await redis.exists(keys.PAUSED)


async def test_signing_out_twice_or_without_a_session_changes_nothing(nobody: httpx.AsyncClient) -> None:
    for cookie in ("", "x", "0" * 64):
        headers = {"Cookie": f"{sessions.COOKIE}={cookie}"}
        assert (await nobody.post("/ops/logout", data={"leave": "1"}, headers=headers)).status_code == 303


async def test_a_session_ends_when_its_key_expires_or_loses_its_scope(
    app: Starlette, make_key: MakeKey, state: State, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_keys, "REMEMBERED_SECONDS", 0.0)
    for field, value, status in (("expires_at", "1", 303), ("scopes", "jobs:read", 403)):
        key = await make_key("platform", [Scope.OPS_READ])
        async with connected(app) as opened:
            await sign_in(opened, key)
            assert (await opened.get("/ops")).status_code == 200
            await redis.hset(keys.client_key(key.split("_")[1]), field, value)  # type: ignore[misc]
            assert (await opened.get("/ops")).status_code == status


async def test_a_key_has_a_bounded_number_of_sessions_and_the_oldest_ends(
    app: Starlette, make_key: MakeKey, redis: Redis, state: State
) -> None:
    found = state.resources.sessions
    key_id = (await make_key("platform", [Scope.OPS_READ])).split("_")[1]
    now = state.resources.environment.now_ms()
    for number in range(MAX_PER_KEY + 3):
        await found.begin(f"{number:064x}", Session(key_id, now + 60_000 + number))
        await found.begin(f"{number:064x}", Session(key_id, now + 60_000 + number))
    alive = [number for number in range(MAX_PER_KEY + 3) if await found.find(f"{number:064x}")]
    assert alive == list(range(3, MAX_PER_KEY + 3))
    assert len(await redis.keys("*session:*")) == await redis.zcard(keys.key_sessions(key_id)) == MAX_PER_KEY
    assert await redis.pttl(keys.key_sessions(key_id)) > 0


async def test_the_live_stream_ends_with_its_session(
    browser: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "_READ_SECONDS", 0.01)
    request = live_request(browser, state)
    ticks = overview._ticks(request)
    async with asyncio.timeout(30):
        assert await anext(ticks) == b"retry: 2000\n\n"
        assert b"tick" in await anext(ticks)
        await browser.post("/ops/logout", data={"leave": "1"})
        assert [tick async for tick in ticks if b"tick" not in tick and b"same" not in tick] == []
    assert not state.held.sum("open pages")


async def test_attempts_to_sign_in_are_limited_for_each_address(
    app: Starlette, make_key: MakeKey, state: State
) -> None:
    good = await make_key("platform", [Scope.OPS_READ])
    for addresses in (["192.0.2.1"], ["2001:db8::1", "2001:db8::2"], ["::ffff:192.0.2.9", "192.0.2.9"]):
        answers = []
        for number in range(PER_ADDRESS[0] + 1):
            transport = httpx.ASGITransport(app, client=(addresses[number % len(addresses)], 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                answers.append(await sign_in(client, good if number == PER_ADDRESS[0] else "vgw_wrong"))
        assert [answer.status_code for answer in answers] == [401] * PER_ADDRESS[0] + [429]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert sessions.COOKIE not in answers[-1].cookies
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=("2001:db8:1::1", 1)), base_url="http://gateway"
    ) as other:
        assert (await sign_in(other, good)).status_code == 303


def test_attempts_to_sign_in_are_limited_over_all_addresses() -> None:
    limits = LoginLimits(lambda: 1000.0)
    for number in range(OVERALL[0]):
        limits.count(f"192.0.2.{number}")
    with pytest.raises(LimitReached) as refused:
        limits.count("198.51.100.1")
    assert refused.value.retry_after_seconds == 1


@pytest.mark.parametrize(
    "change", [lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"), lambda text: text[1:]]
)
async def test_a_cookie_that_was_tampered_with_opens_nothing(
    browser: httpx.AsyncClient, nobody: httpx.AsyncClient, change: object
) -> None:
    assert callable(change)
    cookie = change(browser.cookies[sessions.COOKIE])
    answer = await nobody.get("/ops", headers={"Cookie": f"{sessions.COOKIE}={cookie}"})
    assert answer.status_code == 303


@pytest.mark.parametrize("cookie", ["", ".", "...", "a.b.c.d", "0.0.9999999999.é".encode().decode("latin-1")])
async def test_a_cookie_that_is_none_opens_nothing(nobody: httpx.AsyncClient, cookie: str) -> None:
    raw = f"{sessions.COOKIE}={cookie}".encode("latin-1")
    assert (await nobody.get("/ops", headers={b"Cookie": raw})).status_code == 303


async def test_a_session_does_not_last(browser: httpx.AsyncClient, redis: Redis) -> None:
    name = keys.session(digest_of(browser.cookies[sessions.COOKIE]))
    assert 0 < await redis.pttl(name) <= sessions.HOURS * 3_600_000
    await redis.hset(name, "ends_at", "1")  # type: ignore[misc]
    assert (await browser.get("/ops")).status_code == 303


async def test_a_wrong_key_is_refused_and_not_shown(nobody: httpx.AsyncClient, make_key: MakeKey) -> None:
    for key in ("", "vgw_nonsense", f"vgw_{'0' * 12}_{'1' * 48}"):
        refused = await sign_in(nobody, key)
        assert (refused.status_code, sessions.COOKIE in refused.cookies) == (401, False)
        assert not key or key not in refused.text
    refused = await sign_in(nobody, await make_key("acme"))
    assert refused.status_code == 403
    assert "ops:read" in refused.text


async def test_the_cookie_is_for_these_pages_and_for_no_script(
    nobody: httpx.AsyncClient, make_key: MakeKey
) -> None:
    answer = await sign_in(nobody, await make_key("platform", [Scope.OPS_READ]))
    [cookie] = answer.headers.get_list("set-cookie")
    for part in ("HttpOnly", "Path=/ops", "SameSite=lax", "Max-Age=43200"):
        assert part in cookie


@pytest.mark.parametrize(
    ("asked", "led"),
    [
        ("/ops/jobs?tenant=acme", "/ops/jobs?tenant=acme"),
        ("https://evil.example", "/ops"),
        ("//evil.example", "/ops"),
        ("/ops//evil.example", "/ops"),
        ("/ops/\r\nSet-Cookie: a=b", "/ops"),
        ("/opsx", "/ops"),
    ],
)
async def test_signing_in_leads_to_our_pages_alone(
    nobody: httpx.AsyncClient, make_key: MakeKey, asked: str, led: str
) -> None:
    answer = await sign_in(nobody, await make_key("platform", [Scope.OPS_READ]), asked)
    assert (answer.status_code, answer.headers["location"]) == (303, led)


async def test_a_script_may_use_its_key_without_a_form_s_token(
    app: Starlette, make_key: MakeKey, state: State
) -> None:
    async with connected(app, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])) as opened:
        assert (await opened.post("/ops/pause", data={"reason": "by a script"})).status_code == 303
    assert (await state.resources.gauges.work_in_progress()).paused


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{}", "application/json"),
        (b"a" * 20_000, "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"&".join(b"a=1" for _ in range(100)), "application/x-www-form-urlencoded"),
    ],
)
async def test_what_is_no_form_is_refused(browser: httpx.AsyncClient, content: bytes, kind: str) -> None:
    answer = await browser.post("/ops/pause", content=content, headers={"Content-Type": kind})
    assert answer.status_code in (403, 413)
    assert answer.headers["content-type"].startswith("text/html")
