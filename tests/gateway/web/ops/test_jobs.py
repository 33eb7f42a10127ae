"""What operators see and change, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from gateway.jobs import submit_ticket
from gateway.resources import Resources
from gateway.store import keys
from gateway.tenants import Scope
from gateway.web.operation import Operation
from gateway.web.ops.routes import OPS
from gateway.web.schemas import ops
from tests.gateway.web.conftest import BODY, MakeKey, connected
from tests.gateway.web.parsing import parsed

NOBODY = f"/ops/api/jobs/job_{'0' * 26}"
#: What stands in paths and in queries that must be there.
NAMES = {
    "job_id": f"job_{'0' * 26}",
    "delivery_id": f"dlv_{'0' * 26}_completed_{'0' * 26}",
    "tenant": "acme",
    "account": "main",
    "key_id": "0a0b0c0d0e0f",
}
KEYED = [row for row in OPS if row.scopes]


def address(row: Operation) -> str:
    query = "&".join(f"{param.name}={NAMES[param.name]}" for param in row.query if param.missing)
    return row.path.format_map(NAMES) + (f"?{query}" if query else "")


@pytest.fixture
async def operator(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    """Of a tenant that owns no job."""
    async with connected(app, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])) as opened:
        yield opened


async def ops_events(operator: httpx.AsyncClient) -> list[tuple[str, ...]]:
    """Kinds of the operators' events, each with what it is about."""
    answer = await operator.get("/ops/api/events")
    parsed(ops.OpsEventList, answer.content)
    rows = answer.json()["data"]
    return [(row["kind"], row.get("action") or row.get("reason") or row.get("tenant", "")) for row in rows]


@pytest.mark.parametrize("row", KEYED, ids=[row.id for row in KEYED])
async def test_every_operation_needs_a_scope_of_operators(
    app: Starlette, nobody: httpx.AsyncClient, make_key: MakeKey, row: Operation
) -> None:
    scope = Scope.OPS_READ if row.method == "GET" else Scope.OPS_WRITE
    assert (await nobody.request(row.method, address(row))).status_code == 401
    others = [other for other in Scope if other is not scope]
    async with connected(app, await make_key("acme", others)) as wrong:
        answer = await wrong.request(row.method, address(row))
    assert answer.status_code == 403
    assert scope in answer.json()["detail"]


@pytest.mark.parametrize("row", KEYED, ids=[row.id for row in KEYED])
async def test_a_query_that_means_nothing_is_refused(operator: httpx.AsyncClient, row: Operation) -> None:
    path = address(row)
    answer = await operator.request(row.method, f"{path}{'&' if '?' in path else '?'}colour=1")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["param"] == "colour"


@pytest.mark.parametrize("name", [f"job_{'0' * 26}", "job_1", "job_%2e%2e"])
async def test_a_job_that_is_not_there_is_404(operator: httpx.AsyncClient, name: str) -> None:
    assert (await operator.get(f"/ops/api/jobs/{name}")).status_code == 404
    answer = await operator.post(f"/ops/api/jobs/{name}/resolve", json={"action": "fail"})
    assert answer.status_code == 404


async def test_a_paused_service_takes_jobs_and_sends_none_until_it_is_resumed(
    client: httpx.AsyncClient, operator: httpx.AsyncClient
) -> None:
    paused = await operator.post("/ops/api/pause", json={"reason": "the upstream changes"})
    parsed(ops.ServiceState, paused.content)
    assert paused.json()["paused"]["reason"] == "the upstream changes"
    posted = await client.post("/v1/jobs", json=BODY)
    assert posted.status_code == 202
    assert posted.json()["queue"] == {"position": 0, "ahead_estimate": 0, "eta_seconds": None}
    again = await operator.post("/ops/api/pause", json={"reason": "another reason"})
    assert again.json()["paused"]["reason"] == "the upstream changes"
    resumed = parsed(ops.ServiceState, (await operator.post("/ops/api/resume")).content)
    assert (resumed["paused"], resumed["roles"]["submit"]["slots"]) == (None, 1)
    assert (await client.get(posted.headers["location"])).json()["queue"] is None
    assert [kind for kind, _ in await ops_events(operator)][-2:] == ["service_paused", "service_resumed"]


async def test_an_operator_cancels_a_job_of_any_tenant(
    client: httpx.AsyncClient, operator: httpx.AsyncClient
) -> None:
    posted = (await client.post("/v1/jobs", json=BODY)).json()
    canceled = await operator.post(f"/ops/api/jobs/{posted['id']}/cancel")
    assert (canceled.status_code, canceled.json()["job"]["phase"]) == (200, "canceled")
    assert (await client.get(posted["links"]["self"])).json()["status"] == "canceled"
    assert [kind for kind, _ in await ops_events(operator)] == ["job_canceled"]


async def test_a_paused_account_sends_nothing_until_it_is_resumed(
    client: httpx.AsyncClient, operator: httpx.AsyncClient
) -> None:
    paused = await operator.post("/ops/api/accounts/main/pause", json={"reason": "the invoice"})
    found = parsed(ops.Account, paused.content)
    assert (found["paused"], found["reason"], found["slots"]) == (True, "the invoice", 5)
    await client.post("/v1/jobs", json=BODY)
    assert (await operator.get("/ops/api/state")).json()["roles"]["submit"]["waiting"] == 1
    resumed = await operator.post("/ops/api/accounts/main/resume")
    assert resumed.json() == (await operator.get("/ops/api/accounts/main")).json()
    assert {resumed.json()[name] for name in ("reason", "paused_at", "paused_by", "probe_at")} == {None}
    assert resumed.json()["paused"] is False
    assert (await operator.get("/ops/api/state")).json()["roles"]["submit"]["slots"] == 1
    assert await ops_events(operator) == [("account_parked", "the invoice"), ("account_resumed", "")]


async def test_a_change_is_an_ops_event_with_the_id_of_the_key(
    app: Starlette, make_key: MakeKey, operator: httpx.AsyncClient
) -> None:
    key = await make_key("platform", [Scope.OPS_WRITE])
    async with connected(app, key) as other:
        await other.post("/ops/api/accounts/main/pause", json={"reason": "x"})
    assert (await operator.get("/ops/api/accounts/main")).json()["paused_by"] == key.split("_")[1]
    [event] = (await operator.get("/ops/api/events")).json()["data"]
    assert event["by"] == key.split("_")[1]
    assert key.split("_")[2] not in str(event)


@pytest.mark.parametrize(
    ("path", "body", "param", "code", "message"),
    [
        (f"{NOBODY}/resolve", {}, "action", "required", "send one of bind, resubmit, fail"),
        (f"{NOBODY}/resolve", {"action": "resubmits"}, "action", "not_one_of", "did you mean resubmit?"),
        (f"{NOBODY}/resolve", {"action": None}, "action", "wrong_type", "send one of bind"),
        (f"{NOBODY}/resolve", {"action": "bind"}, "task_id", "required", "the upstream's id of the task"),
        (f"{NOBODY}/resolve", {"action": "bind", "task_id": ""}, "task_id", "wrong_form", "visible ASCII"),
        (f"{NOBODY}/resolve", {"action": "bind", "task_id": "a b"}, "task_id", "wrong_form", "visible ASCII"),
        (f"{NOBODY}/resolve", {"action": "bind", "task_id": 7}, "task_id", "wrong_type", "not 7"),
        (
            f"{NOBODY}/resolve",
            {"action": "fail", "task_id": "t"},
            "task_id",
            "unknown_parameter",
            "only for bind",
        ),
        (f"{NOBODY}/resolve", {"action": "fail", "task": "t"}, "task", "unknown_parameter", "mean task_id?"),
        (f"{NOBODY}/resolve", [], "", "not_an_object", "one JSON object"),
        ("/ops/api/pause", {}, "reason", "required", "a sentence"),
        ("/ops/api/pause", {"reason": ""}, "reason", "blank", "a sentence"),
        ("/ops/api/pause", {"reason": "x" * 257}, "reason", "too_long", "257 characters"),
        ("/ops/api/pause", {"reason": "x", "zzz": 1}, "zzz", "unknown_parameter", "send reason"),
        ("/ops/api/tenants", {}, "tenant", "required", "a name of 1 to 32"),
        ("/ops/api/tenants/acme", {"on_unknown": "holds"}, "on_unknown", "not_one_of", "mean hold?"),
        ("/ops/api/tenants/acme", {"on_unknown": True}, "on_unknown", "wrong_type", "not true"),
    ],
)
async def test_a_wrong_body_is_refused_with_what_to_send_instead(
    operator: httpx.AsyncClient, path: str, body: object, param: str, code: str, message: str
) -> None:
    method = "PATCH" if path.endswith("/acme") else "POST"
    answer = await operator.request(method, path, json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    (error,) = answer.json()["errors"]
    assert (error["param"], error["code"]) == (param, code)
    assert message in error["message"]
    assert await ops_events(operator) == []


@pytest.mark.parametrize(
    ("query", "param"),
    [("after=x", "after"), ("after=1-0%0a", "after"), ("limit=0", "limit"), ("limit=1001", "limit")],
)
@pytest.mark.parametrize("path", ["/ops/api/events", "/ops/api/quarantine", "/ops/api/unknown"])
async def test_a_page_that_cannot_be_is_refused(
    operator: httpx.AsyncClient, path: str, query: str, param: str
) -> None:
    answer = await operator.get(f"{path}?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["param"] == param


async def test_the_quarantine_is_read_page_by_page(operator: httpx.AsyncClient, resources: Resources) -> None:
    for number in range(3):
        raw = b"\xff%d" % number
        await resources.redis.xadd(keys.QUARANTINE, {"at": 7, "why": "unreadable", "epoch": 2, "raw": raw})
    answer = await operator.get("/ops/api/quarantine?limit=2")
    parsed(ops.QuarantineList, answer.content)
    first = answer.json()
    assert [entry["raw"] for entry in first["data"]] == ["\\xff0", "\\xff1"]
    assert (first["has_more"], first["data"][0]["epoch"]) == (True, 2)
    rest = (await operator.get(first["next"])).json()
    assert ([entry["raw"] for entry in rest["data"]], rest["has_more"], rest["next"]) == (
        ["\\xff2"],
        False,
        None,
    )


async def test_a_refused_account_shows_how_it_was_refused_and_when_it_is_probed(
    operator: httpx.AsyncClient, resources: Resources
) -> None:
    refused = {"parked_at": 1000, "reason": "top up", "status": 402, "code": "NoCredit", "probe_at": 31_000}
    await resources.redis.hset(keys.account("main"), mapping=refused)  # type: ignore[misc]
    answer = await operator.get("/ops/api/accounts/main")
    parsed(ops.Account, answer.content)
    names = ("paused_by", "status", "code", "probe_at")
    assert [answer.json()[name] for name in names] == [
        *("upstream", 402, "NoCredit", "1970-01-01T00:00:31.000Z")
    ]


async def test_unknown_jobs_are_listed_with_the_policy_that_holds_for_them(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, resources: Resources
) -> None:
    policies: list[dict[str, str]] = [{"Gateway-On-Unknown": "manual"}, {}, {}]
    answers = [await client.post("/v1/jobs", json=BODY, headers=policy) for policy in policies]
    made = [answer.json()["id"] for answer in answers]
    await resources.redis.zadd(keys.UNKNOWNS, dict.fromkeys(made, 1000))
    answer = await operator.get("/ops/api/unknown?limit=2")
    parsed(ops.UnknownList, answer.content)
    first = answer.json()
    assert first["has_more"]
    rest = (await operator.get(first["next"])).json()
    assert (rest["has_more"], rest["next"]) == (False, None)
    rows = [*first["data"], *rest["data"]]
    assert {row["job"]: row["on_unknown"] for row in rows} == dict(
        zip(made, ("manual", "hold", "hold"), strict=True)
    )
    assert {(row["tenant"], row["since"], row["evidence"]) for row in rows} == {
        ("acme", "1970-01-01T00:00:01.000Z", None)
    }


async def test_the_state_is_back_to_zero_when_all_is_done(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, resources: Resources
) -> None:
    name = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    state = parsed(ops.ServiceState, (await operator.get("/ops/api/state")).content)
    assert state["counts"] == {"job:queued": 1}
    assert state["roles"]["submit"]["slots"] == 1
    assert state["deadlines"] == 1
    job = await resources.jobs.read(name)
    assert job is not None
    await resources.settlement.cancel(job, [submit_ticket(job)])
    state = parsed(ops.ServiceState, (await operator.get("/ops/api/state")).content)
    assert {n for role in state["roles"].values() for n in role.values()} == {0}
    assert (state["unknown"], state["deadlines"]) == (0, 0)
