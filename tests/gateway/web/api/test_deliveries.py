"""Deliveries as their owner sees them, and one sent again."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from gateway.dispatch import Role
from gateway.endpoints import Delivery, Endpoint
from gateway.lifecycle import DeliveryState
from gateway.resources import Resources
from gateway.store import keys
from gateway.tenants import Scope
from gateway.web.schemas import deliveries, jobs
from tests.gateway.store.redelivering import Post
from tests.gateway.web.conftest import MakeKey, connected
from tests.gateway.web.parsing import parsed

AT = 1_795_334_400_000
ONE = Endpoint("ep_" + "1" * 26, "acme", "https://one.example.com/hook", (), "k1", AT)
TWO = replace(ONE, id="ep_" + "2" * 26)
FOREIGN = replace(ONE, id="ep_" + "3" * 26, tenant="other")
NO_SUCH = "dlv_" + "0" * 26 + "_canceled_callback"


@pytest.fixture
async def post(client: httpx.AsyncClient, resources: Resources) -> Post:
    """After the client, whose server is empty."""
    for endpoint in (ONE, TWO, FOREIGN):
        await resources.endpoints.create(endpoint, 50)
    return Post(resources.redis, resources.jobs, resources.deliveries, resources.endpoints)


async def listed(client: httpx.AsyncClient, query: str = "") -> list[str]:
    """The ids on all pages, which must follow one another."""
    found: list[str] = []
    path: str | None = f"/v1/deliveries{query}"
    while path:
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        page = parsed(deliveries.DeliveryPage, answer.content)
        assert page["has_more"] == (page["next"] is not None)
        found += [one["id"] for one in page["data"]]
        path = page["next"]
    return found


async def test_a_delivery_is_shown_with_its_log_and_in_lists_without(
    client: httpx.AsyncClient, post: Post
) -> None:
    one, _ = await post.owe_all(AT)
    seen = await post.attempt(one, "pending")
    answer = await client.get(f"/v1/deliveries/{one.id}")
    assert answer.status_code == 200
    shown = answer.json()
    assert shown["endpoint"] == ONE.id
    assert (shown["attempts"], shown["attempts_before"], shown["trigger"]) == (1, 0, "auto")
    assert shown["log"] == seen.log
    assert shown["next_attempt_at"] is not None
    [summary] = (await client.get(f"/v1/deliveries?endpoint={ONE.id}")).json()["data"]
    assert {**summary, "log": seen.log} == shown
    assert "log" not in summary


async def test_the_newest_are_first_on_every_page(client: httpx.AsyncClient, post: Post) -> None:
    owed = [one for at in (AT, AT + 5, AT + 9) for one in await post.owe_all(at)]
    expected = [one.id for one in sorted(owed, key=lambda one: (one.created_at, one.id), reverse=True)]
    for limit in (1, 2, 5, 100):
        assert await listed(client, f"?limit={limit}") == expected


async def test_they_are_found_by_state_endpoint_and_job(client: httpx.AsyncClient, post: Post) -> None:
    first, second = await post.owe_all(AT)
    await post.attempt(first, "dead")
    others = await post.owe_all(AT + 1)
    assert await listed(client, "?state=dead") == [first.id]
    assert await listed(client, f"?job={first.job_id}&limit=1") == sorted([first.id, second.id], reverse=True)
    assert await listed(client, f"?endpoint={ONE.id}&limit=1") == [others[0].id, first.id]
    assert await listed(client, f"?endpoint={TWO.id}&state=dead") == []
    assert await listed(client, f"?endpoint={ONE.id}&job={first.job_id}&state=dead") == [first.id]


async def test_another_tenant_sees_none_of_them_by_no_way(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, post: Post
) -> None:
    first, _ = await post.owe_all(AT)
    [foreign] = await post.owe_all(AT, tenant="other")
    [theirs] = await listed(stranger)
    assert theirs == foreign.id
    for query in (f"?endpoint={ONE.id}", f"?endpoint={ONE.id}&limit=1", f"?job={first.job_id}"):
        assert await listed(stranger, query) == []
    for method, path in (("GET", ""), ("POST", "/redeliver")):
        answer = await stranger.request(method, f"/v1/deliveries/{first.id}{path}")
        missing = await stranger.request(method, f"/v1/deliveries/{NO_SUCH}{path}")
        assert answer.status_code == missing.status_code == 404
        assert answer.json()["detail"].replace(first.id, NO_SUCH) == missing.json()["detail"]
    after = await stranger.get(f"/v1/deliveries?after={first.id}")
    assert (after.status_code, after.json()["errors"][0]["param"]) == (400, "after")
    assert foreign.id not in await listed(client)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("?state=lost", "state"),
        ("?endpoint=ep_1", "endpoint"),
        ("?job=job_1", "job"),
        ("?after=dlv_1", "after"),
        (f"?after={NO_SUCH}", "after"),
        ("?limit=101", "limit"),
        ("?limit=0", "limit"),
        ("?stat=dead", "stat"),
    ],
)
async def test_a_wrong_query_is_refused_under_its_name(
    client: httpx.AsyncClient, query: str, param: str
) -> None:
    answer = await client.get(f"/v1/deliveries{query}")
    assert answer.status_code == 400
    assert [error["param"] for error in answer.json()["errors"]] == [param]


async def test_a_dead_delivery_is_sent_again_at_once(
    client: httpx.AsyncClient, post: Post, resources: Resources
) -> None:
    first, _ = await post.owe_all(AT)
    await post.attempt(first, "dead")
    answer = await client.post(f"/v1/deliveries/{first.id}/redeliver")
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/deliveries/{first.id}"
    shown = parsed(jobs.Delivery, answer.content)
    assert (shown["state"], shown["attempts_before"], shown["trigger"]) == (
        DeliveryState.PENDING,
        1,
        "manual",
    )
    assert (await client.get(answer.headers["location"])).json() == answer.json()
    assert await resources.redis.zscore(keys.slots(Role.DELIVER), f"{ONE.id}|{first.id}")


async def test_two_wishes_are_two_rounds(client: httpx.AsyncClient, post: Post) -> None:
    first, _ = await post.owe_all(AT)
    for attempts in (1, 2):
        await post.attempt(first, "delivered")
        answer = await client.post(f"/v1/deliveries/{first.id}/redeliver")
        assert (answer.status_code, answer.json()["attempts_before"]) == (202, attempts)


async def refused(client: httpx.AsyncClient, owed: Delivery) -> str:
    answer = await client.post(f"/v1/deliveries/{owed.id}/redeliver")
    assert answer.status_code == 409
    assert (await client.get(f"/v1/deliveries/{owed.id}")).json()["state"] == owed.state
    detail: str = answer.json()["detail"]
    return detail


async def test_what_cannot_be_sent_is_a_conflict_that_names_the_way_out(
    client: httpx.AsyncClient, post: Post
) -> None:
    first, second = await post.owe_all(AT)
    assert "in progress" in await refused(client, first)
    await post.endpoints.disable(ONE, "answered 410 Gone", 5)
    first = await post.attempt(first, "held")
    assert f'PATCH /v1/endpoints/{ONE.id} with {{"disabled": false}}' in await refused(client, first)
    second = await post.attempt(second, "dead")
    await post.endpoints.delete(TWO)
    assert f"GET /v1/jobs/{second.job_id}" in await refused(client, second)


async def test_the_way_out_of_a_disabled_endpoint_leads_out(client: httpx.AsyncClient, post: Post) -> None:
    first, _ = await post.owe_all(AT)
    await post.endpoints.disable(ONE, "answered 410 Gone", 5)
    await post.attempt(first, "held")
    enabled = await client.patch(f"/v1/endpoints/{ONE.id}", json={"disabled": False})
    assert enabled.status_code == 200
    assert (await client.post(f"/v1/deliveries/{first.id}/redeliver")).status_code == 202


async def test_who_reads_jobs_or_keeps_endpoints_may_read_and_only_the_latter_may_change(
    client: httpx.AsyncClient, post: Post, make_key: MakeKey
) -> None:
    first, _ = await post.owe_all(AT)
    await post.attempt(first, "dead")
    app = client._transport.app  # type: ignore[attr-defined]
    path = f"/v1/deliveries/{first.id}"
    for scope, may_look, may_act in (
        (Scope.JOBS_READ, 200, 403),
        (Scope.ENDPOINTS_WRITE, 200, 202),
        (Scope.JOBS_WRITE, 403, 403),
    ):
        async with connected(app, await make_key("acme", [scope])) as one:
            assert [(await one.get(to)).status_code for to in (path, "/v1/deliveries")] == [may_look] * 2
            assert (await one.post(f"{path}/redeliver")).status_code == may_act
            if may_look == 403:
                assert Scope.JOBS_READ in (await one.get(path)).json()["detail"]


async def test_an_id_of_another_form_is_404(client: httpx.AsyncClient, post: Post) -> None:
    for name in ("dlv_1", "x", NO_SUCH + "%0a"):
        assert (await client.get(f"/v1/deliveries/{name}")).status_code == 404
        assert (await client.post(f"/v1/deliveries/{name}/redeliver")).status_code == 404


async def test_a_job_s_own_list_shows_the_same(client: httpx.AsyncClient, post: Post) -> None:
    first, second = await post.owe_all(AT)
    await post.attempt(first, "dead")
    answer = await client.get(f"/v1/jobs/{first.job_id}/deliveries")
    parsed(jobs.DeliveryList, answer.content)
    expected = [(await client.get(f"/v1/deliveries/{one.id}")).json() for one in (first, second)]
    assert answer.json()["data"] == expected
