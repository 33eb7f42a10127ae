"""The routes of the Vidu door, as a client that knows only Vidu sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter
from starlette.applications import Starlette

from gateway.errors import StoreFull, StoreUnavailable
from gateway.events import EventType
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS, rfc3339
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.store import keys
from gateway.tenants import Scope
from gateway.web.schemas import vidu as schemas
from gateway.web.state import State
from tests.gateway.doors.vidu_wire import Created, HttpError, Task, TaskList
from tests.gateway.web.api.test_jobs import complete
from tests.gateway.web.conftest import BODY, MakeKey, connected, serving
from tests.gateway.web.doors.test_vtrix import HOOK, MISSING, read

CREATE = "/ent/v2/reference2video"
TASKS = "/ent/v2/tasks"
ORDER = {**BODY, "model": "viduq2-pro"}
_SHAPES: dict[str, TypeAdapter[Any]] = {
    "created": TypeAdapter(schemas.ViduCreated),
    "task": TypeAdapter(schemas.ViduTask),
    "list": TypeAdapter(schemas.ViduTaskList),
    "refusal": TypeAdapter(schemas.ViduRefusal),
}


async def create(client: httpx.AsyncClient, **more: Any) -> str:
    answer = await client.post(CREATE, json=ORDER | more)
    assert answer.status_code == 200, answer.text
    task = Created.model_validate(answer.json())
    _SHAPES["created"].validate_json(answer.content, strict=True)
    assert task.state == "created"
    return task.task_id


async def poll(client: httpx.AsyncClient, job_id: str) -> Task:
    answer = await client.get(f"{TASKS}/{job_id}/creations")
    assert answer.status_code == 200, answer.text
    _SHAPES["task"].validate_json(answer.content, strict=True)
    return Task.model_validate(answer.json())


async def listed(client: httpx.AsyncClient, query: str = "") -> TaskList:
    answer = await client.get(f"{TASKS}?{query}")
    assert answer.status_code == 200, answer.text
    _SHAPES["list"].validate_json(answer.content, strict=True)
    return TaskList.model_validate(answer.json())


def refused(answer: httpx.Response, status: int, reason: str) -> str:
    """The message of an error, which is in the door's form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = HttpError.model_validate(answer.json())
    _SHAPES["refusal"].validate_json(answer.content, strict=True)
    assert (error.reason, error.code) == (reason, status)
    assert error.metadata.trace_id == answer.headers["x-request-id"]
    return error.message


async def test_a_job_is_made_here_and_every_door_shows_it(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job_id = await create(client, movement_amplitude="auto", audio=False, is_rec=False, auto_subjects=False)
    assert (await read(resources, job_id)).door == "vidu"
    assert (await poll(client, job_id)).state == "queueing"
    ours = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert (ours["status"], ours["model"]) == ("queued", "viduq2_pro_reference")


async def test_a_task_that_is_done_shows_its_video_and_its_price(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job_id = await create(client, payload="order 7", bgm=True)
    await complete(resources, job_id)
    task = await poll(client, job_id)
    assert (task.state, task.credits, task.payload, task.bgm) == ("success", 60, "order 7", True)
    assert task.urls == ["https://cdn.example.com/v.mp4"]


async def test_the_answer_to_a_post_has_what_was_asked_for(client: httpx.AsyncClient) -> None:
    answer = (await client.post(CREATE, json=ORDER | {"duration": 0, "payload": "mine", "seed": 7})).json()
    told = {name: answer[name] for name in ("model", "images", "prompt", "duration", "payload", "seed")}
    assert told == ORDER | {"duration": 0, "payload": "mine", "seed": 7}


@pytest.mark.parametrize("scheme", ["Token", "Bearer", "token"])
async def test_a_key_may_come_as_a_token_or_as_a_bearer(
    app: Starlette, make_key: MakeKey, nobody: httpx.AsyncClient, scheme: str
) -> None:
    header = {"authorization": f"{scheme} {await make_key()}"}
    assert (await nobody.post(CREATE, json=ORDER, headers=header)).status_code == 200
    refused(await nobody.post(CREATE, json=ORDER, headers={"authorization": "Key x"}), 401, "Unauthorized")


async def test_the_probe_of_a_key_finds_404_for_a_good_one_and_401_for_a_bad_one(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient
) -> None:
    for name in ("0", MISSING, "911088422699962368", "%00"):
        refused(await client.get(f"{TASKS}/{name}/creations"), 404, "TaskNotFound")
        refused(await nobody.get(f"{TASKS}/{name}/creations"), 401, "Unauthorized")
        bad = {"authorization": "Token vgw_0123456789abcdef_" + "0" * 43}
        refused(await nobody.get(f"{TASKS}/{name}/creations", headers=bad), 401, "Unauthorized")


async def test_every_problem_of_a_body_is_a_line_of_the_message(client: httpx.AsyncClient) -> None:
    wrong = ORDER | {"model": "viduq3", "duration": 11, "subjects": [], "audio": True, "voice_id": "v"}
    message = refused(await client.post(CREATE, json=wrong), 400, "FieldInvalid")
    named = [line.partition(":")[0] for line in message.split("\n")]
    assert sorted(named) == ["audio", "duration", "model", "subjects", "voice_id"]
    assert "send viduq2-pro\n" in message
    unwanted: list[dict[str, Any]] = [{"subjects": []}, {"audio": True}, {"voice_id": "v"}]
    for field in unwanted:
        refused(await client.post(CREATE, json=ORDER | field), 400, "FieldUnwanted")
    lacking = {name: value for name, value in ORDER.items() if name != "images"}
    refused(await client.post(CREATE, json=lacking), 400, "FieldLacking")


@pytest.mark.parametrize(
    ("content", "headers", "status", "reason"),
    [
        (b"{", {}, 400, "BadRequest"),
        (b"[1]", {}, 400, "FieldInvalid"),
        (b"{}", {"content-type": "text/plain"}, 415, "BadRequest"),
        (b"{}", {"content-length": "30000000"}, 413, "BadRequest"),
        (b"{}", {"gateway-priority": "urgent"}, 400, "BadRequest"),
    ],
)
async def test_whatever_is_wrong_is_answered_in_the_door_s_form(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int, reason: str
) -> None:
    sent = {"content-type": "application/json", **headers}
    refused(await client.post(CREATE, content=content, headers=sent), status, reason)
    refused(await client.delete(CREATE), 405, "BadRequest")


async def test_a_waiting_job_is_canceled_and_a_finished_one_is_not(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, resources: Resources
) -> None:
    job_id = await create(client)
    refused(await stranger.post(f"{TASKS}/{job_id}/cancel", json={"id": job_id}), 404, "TaskNotFound")
    refused(await client.post(f"{TASKS}/{job_id}/cancel", json={"id": MISSING}), 400, "FieldInvalid")
    refused(await client.post(f"{TASKS}/{job_id}/cancel", json=[]), 400, "FieldInvalid")
    bodies: list[dict[str, Any]] = [{"json": {"id": job_id}}, {"json": {}}, {}]
    for body in bodies:
        answer = await client.post(f"{TASKS}/{job_id}/cancel", **body)
        assert (answer.status_code, answer.json()) == (200, {})
    task = await poll(client, job_id)
    assert (task.state, task.err_code, task.credits) == ("failed", "UserCancelled", 0)
    done = await create(client)
    await complete(resources, done)
    message = refused(await client.post(f"{TASKS}/{done}/cancel", json={"id": done}), 400, "BadRequest")
    assert "already completed" in message


async def test_the_list_goes_on_with_its_token_and_shows_each_job_once(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    made = [await create(client, payload=f"p{number}") for number in range(12)]
    first = await listed(client, "pager.pagesz=10")
    rest = await listed(client, f"pager.pagesz=10&pager.page_token={first.next_page_token}")
    assert [one.id for one in (*first.tasks, *rest.tasks)] == made[::-1]
    assert ([one.payload for one in rest.tasks], rest.next_page_token) == (["p1", "p0"], "")
    assert (await listed(stranger)).tasks == []


async def test_the_list_is_filtered_by_time_state_and_id(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, resources: Resources
) -> None:
    waiting, done = await create(client), await create(client)
    foreign = await create(stranger)
    await complete(resources, done)
    born = rfc3339((await read(resources, waiting)).created_at)
    for query, found in (
        (f"created_at.to={born}", [waiting]),
        (f"created_at.from={born}", [done, waiting]),
        ("created_at.from=2099-01-01T00:00:00Z", []),
        ("states=success", [done]),
        ("states=queueing&states=success", [done, waiting]),
        ("states=queueing,processing,failed", [waiting]),
        ("states=created", []),
        (f"task_ids={waiting},{foreign},{MISSING},0", [waiting]),
        (f"task_ids={waiting}&states=success", []),
        (f"task_ids={waiting},{done}&created_at.to={born}", [waiting]),
        (f"task_ids={waiting}&created_at.from={born}", [waiting]),
        (f"task_ids={waiting}&created_at.from=2099-01-01T00:00:00Z", []),
        ("model_versions=q2-pro", [done, waiting]),
        ("model_versions=q3", []),
    ):
        assert [one.id for one in (await listed(client, query)).tasks] == found, query


@pytest.mark.parametrize(
    "query",
    [
        *("states=done", "pager.pagesz=5", "pager.pagesz=101", "pager.page_token=x", "created_at.from=today"),
        *("created_at.to=2026-01-20T06:52:02", "limit=3", "task_ids=" + ",".join(map(str, range(101)))),
    ],
)
async def test_a_wrong_query_is_refused(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"{TASKS}?{query}")
    assert answer.status_code == 400
    HttpError.model_validate(answer.json())


async def test_a_long_payload_is_in_a_poll_and_in_no_list(client: httpx.AsyncClient) -> None:
    long = "ü" * (EVENT_PAYLOAD_CHARACTERS + 1)
    job_id = await create(client, payload=long)
    assert (await poll(client, job_id)).payload == long
    assert [one.payload for one in (await listed(client)).tasks] == [""]


async def test_a_job_remembers_that_its_callback_url_hears_each_change(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    heard = (await read(resources, await create(client, callback_url=HOOK))).callback_events
    assert heard == [EventType.SUBMITTED, EventType.COMPLETED, EventType.FAILED, EventType.CANCELED]
    assert (await read(resources, await create(client))).callback_events == []


async def test_a_key_of_idempotency_makes_one_job_through_any_door(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    key = {"idempotency-key": "order-7"}
    first = await client.post(CREATE, json=ORDER, headers=key)
    again = await client.post(CREATE, json=ORDER | {"movement_amplitude": "small"}, headers=key)
    other = await client.post("/v1/jobs", json=BODY, headers=key)
    assert first.json()["task_id"] == again.json()["task_id"] == other.json()["id"]
    assert again.headers["idempotent-replayed"] == other.headers["idempotent-replayed"] == "true"
    changed = await client.post(CREATE, json=ORDER | {"duration": 7}, headers=key)
    refused(changed, 400, "BadRequest")
    assert len(await resources.redis.keys(f"{keys.job('job_')}*")) == 1


async def test_only_what_may_have_been_accepted_is_a_5xx(
    client: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object, **__: object) -> None:
        raise StoreUnavailable("the store did not answer")

    def full(_: object) -> None:
        raise StoreFull(0.9)

    with monkeypatch.context() as patched:
        patched.setattr(type(state.resources.jobs), "accept", lost)
        answer = await client.post(CREATE, json=ORDER)
    assert "may have been accepted" in refused(answer, 503, "InternalServiceFailure")
    monkeypatch.setattr(type(state.memory), "check", full)
    answer = await client.post(CREATE, json=ORDER)
    refused(answer, 429, "SystemThrottling")
    assert answer.headers["retry-after"] == "30"


async def test_a_key_without_the_scope_is_refused(app: Starlette, make_key: MakeKey) -> None:
    async with connected(app, await make_key(scopes=[Scope.JOBS_READ])) as reader:
        assert "jobs:write" in refused(await reader.post(CREATE, json=ORDER), 403, "Forbidden")
        assert (await listed(reader)).tasks == []


@pytest.fixture
async def closed(
    settings: Settings, make_key: MakeKey, empty_redis: None
) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(settings.model_copy(update={"doors": ["jobs", "vtrix"]})) as app,
        connected(app, await make_key()) as client,
    ):
        yield client


async def test_a_closed_door_is_no_path(closed: httpx.AsyncClient) -> None:
    for method, path in (("POST", CREATE), ("GET", f"{TASKS}/0/creations"), ("GET", TASKS)):
        answer = await closed.request(method, path, json=ORDER)
        assert (answer.status_code, answer.json()["type"]) == (404, "/docs/errors/not-found")
