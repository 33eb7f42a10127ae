"""Who may do what."""

from __future__ import annotations

import httpx
from starlette.applications import Starlette

from gateway.resources import Resources
from gateway.tenants import CLIENT_SCOPES, Scope, split_key
from gateway.web.api.routes import API
from gateway.web.state import State
from tests.gateway.web.conftest import BODY, MakeKey, connected

ACTING = {Scope.JOBS_WRITE, Scope.ENDPOINTS_WRITE, Scope.OPS_WRITE}
#: The path parameters of all operations, of the right form and of nobody.
PARAMETERS = {
    "job_id": "job_" + "0" * 26,
    "endpoint_id": "ep_" + "0" * 26,
    "delivery_id": "dlv_x",
    "recovery_id": "rec_" + "0" * 26,
    "upload_id": "upl_" + "0" * 26,
}
KEYED = [operation for operation in API if operation.scopes]


def test_only_the_upstream_needs_no_key() -> None:
    assert {operation.path for operation in API if not operation.scopes} == {
        "/callbacks/{token}",
        "/callbacks/probe/{token}",
        "/media/{token}",
    }


def test_a_key_that_may_only_read_can_change_nothing() -> None:
    """A link is only computed, and shows what the key may read anyway."""
    free = [one.id for one in KEYED if one.method != "GET" and not ACTING.issuperset(one.scopes)]
    assert free == ["createJobLink"]


async def test_no_key_is_401_and_a_key_without_the_scope_403(
    app: Starlette, nobody: httpx.AsyncClient, make_key: MakeKey
) -> None:
    for operation in KEYED:
        path = operation.path.format_map(PARAMETERS)
        answer = await nobody.request(operation.method, path)
        assert answer.status_code == 401, operation.id
        assert answer.headers["www-authenticate"].startswith("Bearer")
        async with connected(app, await make_key(scopes=set(Scope) - {*operation.scopes})) as limited:
            answer = await limited.request(operation.method, path)
        assert answer.status_code == 403, operation.id
        assert operation.scopes[0] in answer.json()["detail"]


async def test_any_one_of_its_scopes_opens_an_operation(app: Starlette, make_key: MakeKey) -> None:
    for operation in KEYED:
        if operation.head:  # an event stream does not end
            for scope in operation.scopes:
                async with connected(app, await make_key(scopes={scope})) as allowed:
                    answer = await allowed.request(operation.method, operation.path.format_map(PARAMETERS))
                assert answer.status_code not in (401, 403), operation.id


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
    await resources.client_keys.revoke(parts[0], 1_700_000_000_001, by="key1")
    async with connected(app, key) as client:
        assert (await client.get("/v1/jobs")).status_code == 401


async def test_who_is_refused_is_not_read(app: Starlette, nobody: httpx.AsyncClient) -> None:
    answer = await nobody.post("/v1/jobs", json=BODY)
    assert answer.status_code == 401
    assert answer.headers["connection"] == "close"
