"""Tenants and their keys, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.environment import Environment
from gateway.resources import Resources
from gateway.store import keys
from gateway.tenants import CLIENT_SCOPES, Scope
from gateway.web.key_usage import KeyUsageRecorder
from gateway.web.schemas import tenants
from gateway.web.state import State
from tests.gateway.web.conftest import BODY, MakeKey, connected
from tests.gateway.web.parsing import parsed

_DAY_MS = 86_400_000


@pytest.fixture
async def operator(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(app, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])) as opened:
        yield opened


async def ops_events(operator: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await operator.get("/ops/api/events")).json()["data"]
    return found


async def test_a_tenant_is_made_changed_and_listed(operator: httpx.AsyncClient) -> None:
    made = await operator.post("/ops/api/tenants", json={"tenant": "acme", "title": "Acme", "weight": 3})
    assert (made.status_code, made.headers["location"]) == (201, "/ops/api/tenants/acme")
    first = parsed(tenants.TenantSettings, made.content)
    assert [first[name] for name in ("title", "weight", "rate")] == ["Acme", 3, None]
    assert first["defaults"]["weight"] == 1
    changed = await operator.patch("/ops/api/tenants/acme", json={"rate": 2.5, "burst": 10, "weight": None})
    shown = parsed(tenants.TenantSettings, changed.content)
    assert [shown[name] for name in ("title", "weight", "rate", "burst")] == ["Acme", None, 2.5, 10]
    assert (await operator.get("/ops/api/tenants/acme")).json() == changed.json()
    page = (await operator.get("/ops/api/tenants?limit=1")).json()
    assert ([one["tenant"] for one in page["data"]], page["has_more"]) == (["acme"], True)
    rest = parsed(tenants.TenantList, (await operator.get(page["next"])).content)
    assert [one["tenant"] for one in rest["data"]] == ["platform"]  # by its key
    assert [event["kind"] for event in await ops_events(operator)] == ["tenant_changed", "tenant_changed"]


async def test_what_a_tenant_chose_is_changed_and_taken_back(operator: httpx.AsyncClient) -> None:
    path = "/ops/api/tenants/acme"
    first = parsed(tenants.TenantSettings, (await operator.get(path)).content)
    assert (first["on_unknown"], first["on_unknown_default"]) == (None, "hold")
    for chosen in ("resubmit", "manual", None):
        answer = await operator.patch(path, json={"on_unknown": chosen})
        assert answer.json()["on_unknown"] == chosen
        assert (await operator.get(path)).json() == answer.json()
    assert [event["kind"] for event in await ops_events(operator)] == ["tenant_changed"] * 3
    await operator.patch(path, json={"on_unknown": None})
    assert len(await ops_events(operator)) == 3


@pytest.mark.parametrize("name", ["ACME", "-acme", "a" * 33, "acme%0a"])
async def test_a_name_that_no_tenant_can_have_is_404(operator: httpx.AsyncClient, name: str) -> None:
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"weight": 2}),
        ("POST", "/pause", {"reason": "x"}),
        ("POST", "/resume", None),
        ("GET", "/keys", None),
        ("POST", "/keys", {}),
    ):
        answer = await operator.request(method, f"/ops/api/tenants/{name}{path}", json=body)
        assert answer.status_code == 404
    assert await ops_events(operator) == []


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"weight": 0}, "weight", "out_of_range"),
        ({"weight": 101}, "weight", "out_of_range"),
        ({"weight": "3"}, "weight", "wrong_type"),
        ({"weight": True}, "weight", "wrong_type"),
        ({"rate": -0.1}, "rate", "out_of_range"),
        ({"rate": "fast"}, "rate", "wrong_type"),
        ({"queue_max": 0}, "queue_max", "out_of_range"),
        ({"in_flight": 1.5}, "in_flight", "wrong_type"),
        ({"on_unknown": "holds"}, "on_unknown", "not_one_of"),
        ({"wieght": 3}, "wieght", "unknown_parameter"),
        ({"title": ""}, "title", "blank"),
        ({"title": "\u3164"}, "title", "blank"),
    ],
)
async def test_a_setting_that_cannot_be_is_refused_by_its_name_and_changes_nothing(
    operator: httpx.AsyncClient, body: dict[str, object], param: str, code: str
) -> None:
    answer = await operator.patch("/ops/api/tenants/acme", json=body)
    assert answer.status_code == 422
    [problem] = answer.json()["errors"]
    assert (problem["param"], problem["code"]) == (param, code)
    assert problem["message"]
    assert await ops_events(operator) == []


async def test_a_paused_tenant_posts_jobs_that_wait_until_it_goes_on(
    client: httpx.AsyncClient, operator: httpx.AsyncClient
) -> None:
    paused = await operator.post("/ops/api/tenants/acme/pause", json={"reason": "the invoice"})
    assert paused.json()["paused"]["reason"] == "the invoice"
    posted = (await client.post("/v1/jobs", json=BODY)).json()
    assert posted["queue"] == {"position": 0, "ahead_estimate": 0, "eta_seconds": None}
    assert (await operator.post("/ops/api/tenants/acme/resume")).json()["paused"] is None
    assert (await client.get(posted["links"]["self"])).json()["queue"] is None
    assert [event["kind"] for event in await ops_events(operator)] == ["tenant_paused", "tenant_resumed"]


async def test_limits_hold_from_the_next_request_on_and_are_shown(
    client: httpx.AsyncClient, operator: httpx.AsyncClient
) -> None:
    await operator.patch("/ops/api/tenants/acme", json={"rate": 0.01, "burst": 2})
    first = await client.post("/v1/jobs", json=BODY)
    assert first.headers["ratelimit-policy"] == '"jobs";q=2;w=200'
    assert first.headers["ratelimit"] == '"jobs";r=1;t=100'
    await client.post("/v1/jobs", json=BODY)
    third = await client.post("/v1/jobs", json=BODY)
    assert (third.status_code, third.headers["ratelimit"]) == (429, '"jobs";r=0;t=200')
    assert third.json()["type"].endswith("/rate-limited")
    assert 90 <= int(third.headers["retry-after"]) <= 100
    await operator.patch("/ops/api/tenants/acme", json={"rate": 0})
    free = await client.post("/v1/jobs", json=BODY)
    assert (free.status_code, "ratelimit" in free.headers) == (202, False)


async def test_more_slots_for_a_tenant_are_filled_at_once(
    client: httpx.AsyncClient, operator: httpx.AsyncClient
) -> None:
    await operator.patch("/ops/api/tenants/acme", json={"in_flight": 1})
    for _ in range(4):
        await client.post("/v1/jobs", json=BODY)
    assert (await operator.get("/ops/api/state")).json()["roles"]["submit"]["slots"] == 1
    await operator.patch("/ops/api/tenants/acme", json={"in_flight": 3})
    assert (await operator.get("/ops/api/state")).json()["roles"]["submit"]["slots"] == 3


# -- keys


async def test_a_key_is_made_used_and_revoked(
    app: Starlette, operator: httpx.AsyncClient, state: State
) -> None:
    made = await operator.post("/ops/api/tenants/acme/keys", json={"name": "billing"})
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    key = parsed(tenants.NewClientKey, made.content)
    assert (key["scopes"], key["expires_at"], key["name"]) == (sorted(CLIENT_SCOPES), None, "billing")
    async with connected(app, key["key"]) as client:
        assert (await client.get("/v1/jobs")).status_code == 200
        await state.resources.client_keys.flush_uses()
        [listed] = (await operator.get("/ops/api/tenants/acme/keys")).json()["data"]
        assert listed["last_used_at"]
        assert not {"key", "signing_secret", "digest"} & listed.keys()
        revoked = await operator.post(f"/ops/api/keys/{key['id']}/revoke")
        assert revoked.json()["revoked_at"]
        assert (await client.get("/v1/jobs")).status_code == 401
    events = await ops_events(operator)
    assert [event["kind"] for event in events] == ["key_made", "key_revoked"]
    assert key["key"].split("_")[2] not in str(events)


async def test_a_key_that_has_expired_opens_nothing_and_says_so(
    app: Starlette,
    operator: httpx.AsyncClient,
    resources: Resources,
    state: State,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = (await operator.post("/ops/api/tenants/acme/keys", json={"expires_in_hours": 24})).json()
    async with connected(app, made["key"]) as client:
        assert (await client.get("/v1/jobs")).status_code == 200
        now = state.resources.environment.now_ms()
        monkeypatch.setattr(Environment, "now_ms", lambda _: now + _DAY_MS + 1)
        refused = await client.get("/v1/jobs")
    assert refused.status_code == 401
    assert "has expired" in refused.json()["detail"]


async def test_a_key_is_replaced_and_goes_on_for_the_overlap(
    app: Starlette, operator: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = (
        await operator.post("/ops/api/tenants/acme/keys", json={"name": "ci", "scopes": ["jobs:read"]})
    ).json()
    answer = await operator.post(f"/ops/api/keys/{old['id']}/rotate", json={"overlap_seconds": 3600})
    new = parsed(tenants.NewClientKey, answer.content)
    assert (new["replaces"], new["scopes"]) == (old["id"], ["jobs:read"])
    assert (new["name"], new["tenant"]) == ("ci", "acme")
    state.resources.client_keys._remembered.clear()  # as five seconds later
    async with connected(app, old["key"]) as before, connected(app, new["key"]) as after:
        assert (await before.get("/v1/jobs")).status_code == 200
        assert (await after.get("/v1/jobs")).status_code == 200
        now = state.resources.environment.now_ms()
        monkeypatch.setattr(Environment, "now_ms", lambda _: now + 3_600_000)
        assert (await before.get("/v1/jobs")).status_code == 401
        assert (await after.get("/v1/jobs")).status_code == 200


@pytest.mark.parametrize("verb", ["rotate", "revoke"])
async def test_a_key_that_is_not_there_is_404(operator: httpx.AsyncClient, verb: str) -> None:
    answer = await operator.post(f"/ops/api/keys/0a0b0c0d0e0f/{verb}", json={})
    assert answer.status_code == 404


async def test_nobody_gives_scopes_that_he_does_not_have(app: Starlette, make_key: MakeKey) -> None:
    async with connected(app, await make_key("platform", [Scope.OPS_WRITE])) as half:
        refused = await half.post(
            "/ops/api/tenants/acme/keys", json={"scopes": ["jobs:read", "ops:read", "ops:write"]}
        )
        [problem] = refused.json()["errors"]
        assert (problem["param"], problem["code"]) == ("scopes", "not_yours_to_give")
        assert "ops:read" in problem["message"]
        full = (await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])).split("_")[1]
        rotated = await half.post(f"/ops/api/keys/{full}/rotate", json={})
        assert (rotated.status_code, rotated.json()["errors"][0]["code"]) == (422, "not_yours_to_give")
        given = await half.post("/ops/api/tenants/acme/keys", json={"scopes": ["ops:write"]})
        assert given.status_code == 201


async def test_when_keys_were_used_is_kept_now_and_then_and_at_the_end(
    state: State, make_key: MakeKey
) -> None:
    store = state.resources.client_keys
    key_id = (await make_key("acme")).split("_")[1]
    async with KeyUsageRecorder(store, 3600):
        store.note_use(key_id, 5)
    found = await store.lookup(key_id)
    assert found
    assert found.last_used_at == 5


async def test_a_tenant_s_own_networks_are_for_its_webhooks_alone(
    operator: httpx.AsyncClient, client: httpx.AsyncClient, stranger: httpx.AsyncClient, state: State
) -> None:
    hook, order = {"url": "http://10.77.0.1:9000/hook"}, {**BODY, "callback_url": "http://10.77.0.1:9000/x"}
    assert (await client.post("/v1/endpoints", json=hook)).status_code == 422
    made = await operator.patch("/ops/api/tenants/acme", json={"networks": ["10.77.0.0/16", "fd00::/8"]})
    assert made.json()["networks"] == ["10.77.0.0/16", "fd00::/8"]
    state.resources.tenants._known.clear()  # as when five seconds have passed
    assert (await client.post("/v1/endpoints", json=hook)).status_code == 201
    assert (await client.post("/v1/jobs", json=order)).status_code == 202
    assert (await stranger.post("/v1/endpoints", json=hook)).status_code == 422
    assert (await stranger.post("/v1/jobs", json=order)).status_code == 422
    metadata = {"url": "http://169.254.169.254/latest"}
    await operator.patch("/ops/api/tenants/acme", json={"networks": ["0.0.0.0/0"]})
    state.resources.tenants._known.clear()
    assert (await client.post("/v1/endpoints", json=metadata)).status_code == 422
    gone = await operator.patch("/ops/api/tenants/acme", json={"networks": None})
    assert gone.json()["networks"] is None


@pytest.mark.parametrize("networks", [["10.0.0.1/8"], ["nonsense"], [], "10.0.0.0/8", [7]])
async def test_what_is_no_list_of_networks_is_refused(operator: httpx.AsyncClient, networks: object) -> None:
    refused = await operator.patch("/ops/api/tenants/acme", json={"networks": networks})
    assert (refused.status_code, refused.json()["errors"][0]["param"]) == (422, "networks")


async def test_an_operator_sees_what_each_tenant_has_stored(
    client: httpx.AsyncClient, operator: httpx.AsyncClient
) -> None:
    before = (await operator.get("/ops/api/tenants/acme")).json()["stored"]
    assert (before["bytes"], before["media_bytes"]) == (0, 0)
    assert before["bytes_max"] == 268_435_456
    assert (await client.post("/v1/jobs", json=BODY)).status_code == 202
    after = (await operator.get("/ops/api/tenants/acme")).json()["stored"]
    assert after["bytes"] > 4096


async def test_an_operator_sees_what_each_tenant_has_in_the_media_store(
    operator: httpx.AsyncClient, state: State
) -> None:
    usage = {"media": 1, "uploads": 20, "upload_count": 2, "results": 300, "archived": 4000}
    await state.resources.redis.hset(keys.tenant_usage("acme"), mapping=usage)  # type: ignore[misc]
    stored = (await operator.get("/ops/api/tenants/acme")).json()["stored"]
    names = ("media_bytes", "upload_bytes", "upload_count", "result_bytes", "archived_bytes")
    assert [stored[name] for name in names] == [1, 20, 2, 300, 4000]
