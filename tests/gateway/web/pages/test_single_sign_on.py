"""Operators whom a proxy has signed in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from gateway.settings import Settings
from gateway.store import keys
from gateway.tenants import Scope as KeyScope
from gateway.web.server.protocol import PEER
from gateway.web.state import State
from tests.gateway.web.conftest import MakeKey, serving
from tests.gateway.web.pages.conftest import TOKEN, sign_in

PROXY, OTHER = "10.1.2.3", "192.0.2.7"
LOOKER = {"X-Forwarded-User": "kim@example.com", "X-Forwarded-Groups": "staff, onlookers"}
ACTOR = {"X-Forwarded-User": "robin", "X-Forwarded-Groups": "oncall"}


@pytest.fixture
async def app(settings: Settings, empty_redis: None) -> AsyncIterator[Starlette]:
    update = {
        "sso_proxies": ["10.0.0.0/8", "2001:db8::/32"],
        "sso_read_groups": ["onlookers"],
        "sso_write_groups": ["oncall"],
    }
    async with serving(settings.model_copy(update=update)) as started:
        yield started


@pytest.fixture
def state(app: Starlette) -> State:
    found: State = app.state.gateway
    return found


def through(app: Starlette, peer: str | None, headers: dict[str, str]) -> httpx.AsyncClient:
    """A browser whose requests arrive over a connection from `peer`."""

    async def from_peer(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, PEER: peer}, receive, send)

    transport = httpx.ASGITransport(from_peer, client=(OTHER, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers)


@pytest.mark.parametrize("peer", [PROXY, "::ffff:10.1.2.3", "2001:db8::5"])
async def test_a_person_of_the_proxy_needs_no_key(app: Starlette, peer: str) -> None:
    async with through(app, peer, LOOKER) as browser:
        page = await browser.get("/ops")
    assert page.status_code == 200
    assert "kim@example.com" in page.text


@pytest.mark.parametrize("peer", [OTHER, None, "/run/gateway.sock"])
async def test_the_headers_of_anybody_else_count_for_nothing(app: Starlette, peer: str | None) -> None:
    async with through(app, peer, ACTOR) as browser:
        away = await browser.get("/ops")
        assert (away.status_code, away.headers["location"]) == (303, "/ops/login?next=/ops")
        claimed = await browser.get("/ops", headers={"X-Forwarded-For": PROXY})
        assert claimed.status_code == 303


async def test_the_audit_names_the_person_who_acted(app: Starlette, state: State) -> None:
    async with through(app, PROXY, ACTOR) as browser:
        found = TOKEN.search((await browser.get("/ops/upstream")).text)
        assert found
        acted = await browser.post("/ops/pause", data={"reason": "fire", "token": found[1]})
    assert acted.status_code == 303
    [(_, entry)] = await state.resources.redis.xrevrange(keys.AUDIT, count=1)
    assert entry["by"] == "sso:robin"


@pytest.mark.parametrize("token", ["", "0" * 64])
async def test_a_form_of_a_person_needs_the_token_of_that_person(
    app: Starlette, state: State, token: str
) -> None:
    async with through(app, PROXY, {**ACTOR, "X-Forwarded-User": "sam"}) as other:
        found = TOKEN.search((await other.get("/ops/upstream")).text)
        assert found
    async with through(app, PROXY, ACTOR) as browser:
        for sent in (token, found[1]):
            refused = await browser.post("/ops/pause", data={"reason": "fire", "token": sent})
            assert refused.status_code == 403
    assert (await state.resources.gauges.work_in_progress()).paused is None


async def test_a_person_s_form_is_good_until_the_end_of_the_next_day(
    app: Starlette, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with through(app, PROXY, ACTOR) as browser:
        found = TOKEN.search((await browser.get("/ops/upstream")).text)
        assert found
        now_ms = type(state.resources.environment).now_ms
        for days, status in ((2, 403), (1, 303)):
            with monkeypatch.context() as later:
                later.setattr(
                    type(state.resources.environment),
                    "now_ms",
                    lambda self, ms=days * 86_400_000: now_ms(self) // 86_400_000 * 86_400_000 + ms,
                )
                answer = await browser.post("/ops/pause", data={"reason": "fire", "token": found[1]})
            assert answer.status_code == status


async def test_who_may_only_look_cannot_act(app: Starlette) -> None:
    async with through(app, PROXY, LOOKER) as browser:
        refused = await browser.post("/ops/pause", data={"reason": "fire"})
    assert refused.status_code == 403
    assert "ops:write" in refused.text


async def test_a_person_without_such_a_group_sees_no_page(app: Starlette) -> None:
    for groups in ("staff", "", "*"):
        async with through(app, PROXY, {**LOOKER, "X-Forwarded-Groups": groups}) as browser:
            assert (await browser.get("/ops")).status_code == 403


@pytest.mark.parametrize("name", ["\x7f", "a" * 129, "a\tb"])
async def test_a_name_that_is_none_is_refused(app: Starlette, name: str) -> None:
    async with through(app, PROXY, {**ACTOR, "X-Forwarded-User": name}) as browser:
        assert (await browser.get("/ops")).status_code == 401


async def test_headers_that_the_proxy_only_added_to_the_client_s_are_refused(app: Starlette) -> None:
    for repeated in ("X-Forwarded-User", "X-Forwarded-Groups"):
        async with through(app, PROXY, {}) as browser:
            twice = [*ACTOR.items(), (repeated, "oncall")]
            refused = await browser.get("/ops", headers=twice)
        assert refused.status_code == 401
        assert "twice" in refused.text


async def test_without_a_name_from_the_proxy_a_key_is_needed(app: Starlette, make_key: MakeKey) -> None:
    key = await make_key("platform", [KeyScope.OPS_READ])
    async with through(app, PROXY, {}) as browser:
        assert (await browser.get("/ops")).status_code == 303
        await sign_in(browser, key)
        assert (await browser.get("/ops")).status_code == 200


async def test_who_signed_in_with_a_key_is_that_key(app: Starlette, make_key: MakeKey, state: State) -> None:
    key = await make_key("platform", [KeyScope.OPS_READ, KeyScope.OPS_WRITE])
    async with through(app, PROXY, LOOKER) as browser:
        await sign_in(browser, key)
        found = TOKEN.search((await browser.get("/ops/upstream")).text)
        assert found
        await browser.post("/ops/pause", data={"reason": "fire", "token": found[1]})
    [(_, entry)] = await state.resources.redis.xrevrange(keys.AUDIT, count=1)
    assert entry["by"] == key.split("_")[1]


async def test_everybody_may_look_if_the_setting_says_so(settings: Settings, empty_redis: None) -> None:
    update = {"sso_proxies": ["10.0.0.0/8"], "sso_read_groups": ["*"], "sso_sign_out_url": "/oauth2/sign_out"}
    async with (
        serving(settings.model_copy(update=update)) as app,
        through(app, PROXY, {}) as browser,
    ):
        page = await browser.get("/ops", headers=[(b"X-Forwarded-User", "Zoë".encode())])
    assert page.status_code == 200
    assert 'href="/oauth2/sign_out"' in page.text
    assert "Zoë" in page.text


def test_proxies_without_any_group_are_a_mistake(settings: Settings) -> None:
    given = settings.model_dump() | {"sso_proxies": ["10.0.0.0/8"]}
    with pytest.raises(ValidationError, match="no group may do anything"):
        Settings(**given)
    with pytest.raises(ValidationError, match="is not the name of a header"):
        Settings(**given | {"sso_user_header": "X Forwarded"})
