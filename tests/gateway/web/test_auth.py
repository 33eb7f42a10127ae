"""Who may do what."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.resources import Resources
from gateway.tenants import CLIENT_SCOPES, Scope, split_key
from gateway.web.state import State
from tests.gateway.web.conftest import BODY, MakeKey, connected

MISSING = "job_" + "0" * 26

ROUTES = [
    ("POST", "/v1/jobs", Scope.JOBS_WRITE),
    ("GET", "/v1/jobs", Scope.JOBS_READ),
    ("GET", f"/v1/jobs/{MISSING}", Scope.JOBS_READ),
    ("POST", f"/v1/jobs/{MISSING}/cancel", Scope.JOBS_WRITE),
    ("GET", f"/v1/jobs/{MISSING}/deliveries", Scope.JOBS_READ),
    ("GET", f"/v1/jobs/{MISSING}/timeline", Scope.JOBS_READ),
    ("POST", "/v1/endpoints", Scope.ENDPOINTS_WRITE),
    ("GET", "/v1/endpoints", Scope.ENDPOINTS_WRITE),
    ("GET", "/v1/endpoints/ep_x", Scope.ENDPOINTS_WRITE),
    ("DELETE", "/v1/endpoints/ep_x", Scope.ENDPOINTS_WRITE),
    ("PATCH", "/v1/endpoints/ep_x", Scope.ENDPOINTS_WRITE),
    ("POST", "/v1/endpoints/ep_x/rotate", Scope.ENDPOINTS_WRITE),
    ("POST", "/v1/endpoints/ep_x/test", Scope.ENDPOINTS_WRITE),
    ("POST", "/v1/endpoints/ep_x/recover", Scope.ENDPOINTS_WRITE),
    ("POST", "/v1/deliveries/x/redeliver", Scope.ENDPOINTS_WRITE),
    ("GET", f"/v1/jobs/{MISSING}/events", Scope.JOBS_READ),
    ("GET", "/v1/events", Scope.JOBS_READ),
]
#: Who may act on endpoints may read what became of it; and so may who reads jobs.
EITHER = [
    ("GET", "/v1/deliveries"),
    ("GET", "/v1/deliveries/x"),
    ("GET", "/v1/endpoints/ep_x/recoveries"),
    ("GET", "/v1/recoveries/x"),
]


def test_every_route_under_v1_is_in_this_table(app: Starlette) -> None:
    documented = [
        (route.path, method)
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith("/v1/")
        for method in (route.methods or set()) - {"HEAD"}
    ]
    assert len(documented) == len(ROUTES) + len(EITHER)


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
async def test_no_key_is_401_and_a_key_without_the_scope_403(
    app: Starlette, nobody: httpx.AsyncClient, make_key: MakeKey, method: str, path: str, scope: Scope
) -> None:
    answer = await nobody.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    async with connected(app, await make_key(scopes=set(Scope) - {scope})) as limited:
        answer = await limited.request(method, path)
    assert answer.status_code == 403
    assert scope in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path"), EITHER)
async def test_either_of_two_scopes_may_read_what_became_of_deliveries(
    app: Starlette, nobody: httpx.AsyncClient, make_key: MakeKey, method: str, path: str
) -> None:
    assert (await nobody.request(method, path)).status_code == 401
    both = {Scope.JOBS_READ, Scope.ENDPOINTS_WRITE}
    async with connected(app, await make_key(scopes=set(Scope) - both)) as limited:
        answer = await limited.request(method, path)
    assert answer.status_code == 403
    for scope in both:
        async with connected(app, await make_key(scopes={scope})) as allowed:
            assert (await allowed.request(method, path)).status_code in (200, 404)


async def test_a_wrong_secret_an_unknown_key_and_a_malformed_one_are_all_401(
    nobody: httpx.AsyncClient, make_key: MakeKey
) -> None:
    good = await make_key()
    parts = split_key(good)
    assert parts is not None
    wrong = [
        f"Bearer vgw_{parts[0]}_{'0' * 48}",
        f"Bearer vgw_{'0' * 12}_{parts[1]}",
        f"Bearer {good}x",
        f"Basic {good}",
        "Bearer",
        good,
        "Bearer \xff\xfe",
    ]
    for header in wrong:
        answer = await nobody.get("/v1/jobs", headers={b"Authorization": header.encode("latin-1")})
        assert answer.status_code == 401, header
        assert parts[1] not in answer.text
    assert (await nobody.get("/v1/jobs", headers={"Authorization": f"bearer  {good}"})).status_code == 200


async def test_a_revoked_key_is_401_once_it_is_forgotten(
    app: Starlette, state: State, resources: Resources, make_key: MakeKey
) -> None:
    key = await make_key(scopes=CLIENT_SCOPES)
    parts = split_key(key)
    assert parts is not None
    await resources.client_keys.revoke(parts[0], 1_700_000_000_001)
    async with connected(app, key) as client:
        assert (await client.get("/v1/jobs")).status_code == 401


async def test_who_is_refused_is_not_read(app: Starlette, nobody: httpx.AsyncClient) -> None:
    answer = await nobody.post("/v1/jobs", json=BODY)
    assert answer.status_code == 401
    assert answer.headers["connection"] == "close"
