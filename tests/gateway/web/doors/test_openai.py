"""The routes of the OpenAI door, as a client that knows only OpenAI's videos API sees them."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import orjson
import pytest
from pydantic import TypeAdapter
from starlette.applications import Starlette

from gateway.assets import Variant
from gateway.errors import NotFound, StoreUnavailable
from gateway.jobs import Job
from gateway.media.inline import InlineFiles
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.tenants import Scope
from gateway.web.doors import openai
from gateway.web.doors.openai_routes import OPERATIONS
from gateway.web.schemas import openai as schemas
from gateway.web.state import State
from tests.gateway.doors.openai.wire import HttpError, Video
from tests.gateway.generation.media_samples import image
from tests.gateway.web.api.copying import VIDEO, completed, copied
from tests.gateway.web.api.test_jobs import complete
from tests.gateway.web.conftest import BODY, MakeKey, connected, serving

VIDEOS = "/v1/videos"
MISSING = "job_" + "0" * 26
PNG = ("fox.png", image("png"), "image/png")
SENT: dict[str, Any] = {"prompt": "a fox", "input_reference": "https://cdn.example.com/a.png"}
_SHAPES: dict[str, TypeAdapter[Any]] = {
    "video": TypeAdapter(schemas.Video),
    "refusal": TypeAdapter(schemas.OpenAIRefusal),
}


def video(answer: httpx.Response) -> Video:
    assert answer.status_code == 200, answer.text
    _SHAPES["video"].validate_json(answer.content, strict=True)
    return Video.model_validate(answer.json())


async def create(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **more: Any) -> Video:
    return video(await client.post(VIDEOS, json={**SENT, **more}, headers=headers))


async def create_by_form(
    client: httpx.AsyncClient, headers: dict[str, str] | None = None, **more: str
) -> httpx.Response:
    form = {"prompt": "a fox", "seconds": "4", **more}
    return await client.post(VIDEOS, data=form, files={"input_reference": PNG}, headers=headers)


def refused(answer: httpx.Response, status: int, code: str, param: str | None = None) -> str:
    """The message of an error, which is in the door's form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    _SHAPES["refusal"].validate_json(answer.content, strict=True)
    error = HttpError.model_validate(answer.json()).error
    assert (error.code, error.param) == (code, param)
    assert error.request_id == answer.headers["x-request-id"]
    return error.message


async def read(resources: Resources, job_id: str) -> Job:
    job = await resources.jobs.read(job_id)
    assert job is not None
    return job


async def test_a_form_with_a_file_makes_a_job(client: httpx.AsyncClient, resources: Resources) -> None:
    answer = await create_by_form(client, model="viduq2-pro", size="720x1280", seed="7", bgm="true")
    made = video(answer)
    assert answer.headers["location"] == f"{VIDEOS}/{made.id}"
    assert 2000 <= int(answer.headers["openai-poll-after-ms"]) <= 10_000
    assert (made.status, made.seconds, made.size, made.prompt) == ("queued", "4", "720x1280", "a fox")
    job = await read(resources, made.id)
    assert (job.door, job.model) == ("openai", "viduq2_pro_reference")
    assert {name: job.params[name] for name in ("duration", "resolution", "aspect_ratio", "seed", "bgm")} == {
        "duration": 4, "resolution": "720p", "aspect_ratio": "9:16", "seed": 7, "bgm": True
    }  # fmt: skip
    assert await resources.inline_files.read(job.params["images"][0]) == PNG[1]


async def test_json_makes_one_too_and_every_door_shows_it(client: httpx.AsyncClient) -> None:
    made = await create(client, payload="mine", user="somebody")
    assert (made.seconds, made.size) == ("5", "1280x720")
    seen = await client.get(f"{VIDEOS}/{made.id}")
    assert "openai-poll-after-ms" in seen.headers
    assert video(seen).payload == "mine"
    assert (await client.get(f"/v1/jobs/{made.id}")).json()["status"] == "queued"
    other = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    assert video(await client.get(f"{VIDEOS}/{other}")).id == other


async def test_a_video_that_is_completed_says_so(client: httpx.AsyncClient, resources: Resources) -> None:
    made = await create(client)
    await complete(resources, made.id)
    answer = await client.get(f"{VIDEOS}/{made.id}")
    done = video(answer)
    assert (done.status, done.progress, done.cost) == ("completed", 100, "0.3")
    assert "openai-poll-after-ms" not in answer.headers


async def test_a_size_that_was_replaced_is_a_warning_that_stays(client: httpx.AsyncClient) -> None:
    made = await create(client, size="1792x1024")
    assert made.size == "1920x1080"
    assert [one["code"] for one in video(await client.get(f"{VIDEOS}/{made.id}")).warnings] == [
        "size_replaced"
    ]


async def test_all_problems_are_told_at_once_in_the_client_s_names(client: httpx.AsyncClient) -> None:
    wrong = {"prompt": " ", "seconds": 11, "size": "4k", "n": 2, "images": ["ftp://x/a.png"], "what": 1}
    answer = await client.post(VIDEOS, json=wrong)
    error = HttpError.model_validate(answer.json()).error
    told = {one.param for one in error.errors}
    assert (answer.status_code, told) == (400, {"prompt", "seconds", "size", "n", "images", "what"})
    assert all(f"{name}: " in error.message for name in told)


@pytest.mark.parametrize(
    ("sent", "status", "code", "param"),
    [
        ({"prompt": "a fox"}, 400, "required", "input_reference"),
        ({**SENT, "seconds": "11"}, 400, "out_of_range", "seconds"),
        ({**SENT, "model": "sora-2"}, 404, "model_not_found", "model"),
        ({**SENT, "metadata": {}}, 400, "unknown_parameter", "metadata"),
        ({**SENT, "input_reference": "fox.png"}, 400, "url_scheme", "input_reference"),
        ([], 400, "not_an_object", None),
    ],
)
async def test_what_is_refused_and_why(
    client: httpx.AsyncClient, sent: Any, status: int, code: str, param: str | None
) -> None:
    refused(await client.post(VIDEOS, json=sent), status, code, param)


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{", {}, 400, "invalid_json"),
        (b"", {"content-type": "multipart/form-data; boundary=b"}, 400, "wrong_form"),
        (b"", {"content-type": "multipart/form-data"}, 400, "bad_request"),
        (b"{}", {"content-type": "text/plain"}, 415, "not_json"),
        (b"x", {"content-encoding": "gzip"}, 415, "encoded"),
        (
            b"x",
            {"content-type": "multipart/form-data; boundary=b", "content-encoding": "gzip"},
            415,
            "encoded",
        ),
        (b"{}", {"content-length": "30000000"}, 413, "body_too_large"),
        (b"{}", {"gateway-prioritty": "low"}, 400, "unknown_parameter"),
    ],
)
async def test_a_body_that_cannot_be_read_is_told_in_the_door_s_form(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await client.post(
        VIDEOS, content=content, headers={"content-type": "application/json", **headers}
    )
    error = HttpError.model_validate(answer.json()).error
    assert (answer.status_code, error.code) == (status, code)


async def test_a_text_that_is_not_utf_8_is_refused(client: httpx.AsyncClient) -> None:
    raw = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n\xff\r\n--b--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=b"}
    refused(await client.post(VIDEOS, content=raw, headers=headers), 400, "not_utf8", "prompt")


async def test_a_form_whose_files_the_upstream_would_refuse_is_refused(client: httpx.AsyncClient) -> None:
    """15.5 MB are 20.7 MB in Base64."""
    large = image("png") + bytes(7_750_000)
    files = [("images", ("a.png", large, "image/png"))] * 2
    answer = await client.post(VIDEOS, data={"prompt": "a fox"}, files=files)
    refused(answer, 413, "body_too_large", None)


@pytest.mark.parametrize("name", [MISSING, "x", "video_1", "%00"])
async def test_an_unknown_id_is_a_404_after_the_key_was_checked(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, name: str
) -> None:
    refused(await client.get(f"{VIDEOS}/{name}"), 404, "not_found")
    refused(await nobody.get(f"{VIDEOS}/{name}"), 401, "unauthenticated")


async def test_a_video_of_another_tenant_is_as_one_that_nobody_has(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    made = await create(client)
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        refused(await stranger.request(method, f"{VIDEOS}/{made.id}{path}"), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/edits"),
        ("POST", "/extensions"),
        ("POST", "/characters"),
        ("GET", "/characters/c_1"),
        ("POST", f"/{MISSING}/remix"),
    ],
)
async def test_what_the_model_cannot_do_is_refused_for_good(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await client.request(method, f"{VIDEOS}{path}")
    assert "only makes new videos" in refused(answer, 400, "unsupported_operation")
    assert answer.headers["x-should-retry"] == "false"
    refused(await nobody.request(method, f"{VIDEOS}{path}"), 401, "unauthenticated")


async def test_the_models_can_be_asked_for(settings: Settings, make_key: MakeKey, empty_redis: None) -> None:
    more = settings.model_copy(update={"openai_models": {"sora-2": "viduq2_pro_reference"}})
    async with serving(more) as app, connected(app, await make_key()) as client:
        listed = (await client.get("/v1/models")).json()
        TypeAdapter(schemas.ModelList).validate_python(listed)
        names = [model["id"] for model in listed["data"]]
        assert names == ["viduq2_pro_reference", "viduq2-pro", "sora-2"]
        assert (await client.get("/v1/models/sora-2")).json() == listed["data"][2]
        refused(await client.get("/v1/models/sora-3"), 404, "model_not_found", "model")
        made = await create(client, model="sora-2")
        assert made.model == "viduq2_pro_reference"


async def test_a_limit_that_lasts_is_not_tried_again(
    settings: Settings, make_key: MakeKey, empty_redis: None
) -> None:
    for update, again in (({"tenant_bytes_max": 1000}, "false"), ({"tenant_queue_max": 0}, None)):
        async with (
            serving(settings.model_copy(update=update)) as app,
            connected(app, await make_key()) as client,
        ):
            answer = await client.post(VIDEOS, json=SENT)
        refused(answer, 429, "limit_reached")
        assert answer.headers.get("x-should-retry") == again
        assert int(answer.headers["retry-after"]) > 0


async def test_a_store_that_does_not_answer_is_a_503_that_is_tried_again(
    client: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object, **__: object) -> None:
        raise StoreUnavailable("the store did not answer")

    monkeypatch.setattr(type(state.resources.jobs), "accept", lost)
    answer = await client.post(VIDEOS, json=SENT)
    refused(answer, 503, "unavailable")
    assert "x-should-retry" not in answer.headers


async def test_an_accepted_video_is_told_even_if_the_store_is_away_by_then(
    client: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable("the store did not answer")

    monkeypatch.setattr(type(state.resources.durations), "typical_ms", away)
    assert (await create(client)).status == "queued"


async def test_clients_poll_in_a_tenth_of_the_usual_time(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    for ms, expected in ((35_000, "3500"), (900_000, "10000"), (100, "2000")):
        await resources.redis.hset("{gw}:durations", "720p:5:mean", str(ms))  # type: ignore[misc]
        made = await create(client)
        answer = await client.get(f"{VIDEOS}/{made.id}")
        assert answer.headers["openai-poll-after-ms"] == expected


async def test_a_closed_door_is_no_path(settings: Settings, make_key: MakeKey, empty_redis: None) -> None:
    closed = settings.model_copy(update={"doors": ["jobs", "vtrix"]})
    async with serving(closed) as app, connected(app, await make_key()) as client:
        for operation in OPERATIONS:
            path = operation.path.format(job_id=MISSING, model="m", character_id="c")
            answer = await client.request(operation.method, path)
            assert (answer.status_code, answer.json()["type"]) == (404, "/docs/errors/not-found")


def attempt(number: int) -> dict[str, str]:
    return {"x-stainless-retry-count": str(number)}


@pytest.mark.parametrize("headers", [{}, {"x-stainless-retry-count": "2"}])
async def test_who_learns_that_a_video_may_exist_is_told_where_to_look(
    client: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    async def lost(*_: object, **__: object) -> None:
        raise StoreUnavailable("the store did not answer")

    monkeypatch.setattr(type(state.resources.jobs), "accept", lost)
    message = refused(await client.post(VIDEOS, json=SENT, headers=headers), 503, "unavailable")
    assert "look for it with GET /v1/videos before you post it again" in message
    assert ("x-stainless-retry-count" in message) == bool(headers)


@pytest.mark.parametrize("form", [False, True], ids=["json", "form"])
async def test_a_retry_finds_the_job_of_the_first_attempt(client: httpx.AsyncClient, form: bool) -> None:
    """A form has another boundary each time."""

    async def post(number: int, **more: str) -> httpx.Response:
        if form:
            return await create_by_form(client, attempt(number), **more)
        return await client.post(VIDEOS, json={**SENT, **more}, headers=attempt(number))

    first = video(await post(0))
    for number in (1, 2):
        again = await post(number)
        assert (video(again).id, again.headers["idempotent-replayed"]) == (first.id, "true")
    assert video(await post(0)).id != first.id
    assert "idempotent-replayed" not in (await post(1, payload="another")).headers


@pytest.mark.parametrize("kept", [False, True], ids=["at_once", "files_are_kept"])
async def test_a_client_that_is_gone_by_then_gets_no_job(
    app: Starlette,
    client: httpx.AsyncClient,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
    kept: bool,
) -> None:
    """Its next attempt may have come already, and found nothing. `kept`: it goes while its file is kept."""
    gone, put, names = asyncio.Event(), InlineFiles.put, []

    async def put_slowly(files: InlineFiles, *args: Any) -> str:
        names.append(await put(files, *args))
        gone.set()
        return names[-1]

    monkeypatch.setattr(InlineFiles, "put", put_slowly)
    picture = f"data:image/png;base64,{base64.b64encode(PNG[1]).decode()}"
    body = SENT | ({"input_reference": picture} if kept else {})
    told = [{"type": "http.request", "body": orjson.dumps(body), "more_body": False}]
    if not kept:
        gone.set()
    headers = {**client.headers, **attempt(0), "content-type": "application/json"}
    scope = {
        "type": "http", "method": "POST", "path": VIDEOS, "query_string": b"", "scheme": "http",
        "headers": [(name.lower().encode(), text.encode()) for name, text in headers.items()],
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        if told:
            return told.pop(0)
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert (await listed(client))["data"] == []
    assert len(names) == kept
    for name in names:
        with pytest.raises(NotFound):
            await resources.intake.inline_files.read(name)


async def test_requests_that_do_not_count_are_never_folded(client: httpx.AsyncClient) -> None:
    ids = {(await create(client)).id for _ in range(2)}
    ids |= {(await create(client, {"x-stainless-retry-count": "one"})).id}
    ids |= {(await create(client, attempt(1))).id}  # they are not found either
    assert len(ids) == 4


async def test_two_equal_requests_side_by_side_are_two_jobs_and_so_are_their_retries(
    client: httpx.AsyncClient,
) -> None:
    made = await asyncio.gather(*(create(client, attempt(0)) for _ in range(2)))
    found = await asyncio.gather(*(create(client, attempt(1)) for _ in range(2)))
    assert len({one.id for one in made}) == 2
    assert {one.id for one in found} == {one.id for one in made}


async def test_an_idempotency_key_counts_for_more_than_attempts(client: httpx.AsyncClient) -> None:
    key = {"idempotency-key": "order-7"}
    first = await create(client, {**key, **attempt(0)})
    assert (await create(client, {**key, **attempt(0)})).id == first.id
    assert (await create(client, attempt(1))).id != first.id
    changed = await client.post(VIDEOS, json={**SENT, "seconds": 7}, headers=key)
    refused(changed, 422, "idempotency_mismatch", "Idempotency-Key")


async def test_a_retry_of_another_tenant_finds_nothing(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    made = await create(client, attempt(0))
    assert (await create(stranger, attempt(1))).id != made.id


async def test_a_key_without_the_scope_makes_no_video(
    settings: Settings, make_key: MakeKey, empty_redis: None
) -> None:
    async with (
        serving(settings) as app,
        connected(app, await make_key(scopes=[Scope.JOBS_READ])) as reader,
    ):
        assert "jobs:write" in refused(await reader.post(VIDEOS, json=SENT), 403, "scope_missing")
        refused(await reader.delete(f"{VIDEOS}/{MISSING}"), 403, "scope_missing")


@pytest.fixture
async def three(client: httpx.AsyncClient) -> list[str]:
    """Videos, oldest first."""
    return sorted([(await create(client)).id for _ in range(3)])


async def listed(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await client.get(VIDEOS, params=query)
    assert answer.status_code == 200, answer.text
    TypeAdapter(schemas.VideoList).validate_json(answer.content, strict=True)
    page: dict[str, Any] = orjson.loads(answer.content)
    return page


@pytest.mark.parametrize("order", ["asc", "desc", None])
async def test_a_list_has_pages_in_both_orders(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, three: list[str], order: str | None
) -> None:
    query = {"limit": 2} | ({"order": order} if order else {})
    expected = three if order == "asc" else three[::-1]
    first = await listed(client, **query)
    assert [one["id"] for one in first["data"]] == expected[:2]
    assert (first["first_id"], first["last_id"], first["has_more"]) == (expected[0], expected[1], True)
    second = await listed(client, **query, after=first["last_id"])
    assert [one["id"] for one in second["data"]] == expected[2:]
    assert second["has_more"] is False
    assert (await listed(stranger))["data"] == []


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=101", "limit"), ("limit=0", "limit"), ("order=up", "order"), ("after=x", "after")],
)
async def test_a_query_out_of_range_is_refused(client: httpx.AsyncClient, query: str, param: str) -> None:
    answer = await client.get(f"{VIDEOS}?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_a_deleted_video_is_shown_here_no_more_and_stays_a_job(
    client: httpx.AsyncClient, resources: Resources, three: list[str]
) -> None:
    for job_id in three[1:]:
        await complete(resources, job_id)
    answer = await client.delete(f"{VIDEOS}/{three[1]}")
    assert answer.json() == {"id": three[1], "object": "video.deleted", "deleted": True}
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        refused(await client.request(method, f"{VIDEOS}/{three[1]}{path}"), 404, "not_found")
    page = await listed(client, limit=2)
    assert ([one["id"] for one in page["data"]], page["has_more"]) == ([three[2], three[0]], False)
    assert (await client.get(f"/v1/jobs/{three[1]}")).json()["status"] == "completed"


async def test_a_list_goes_on_past_any_number_of_deleted_videos(
    client: httpx.AsyncClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page without a video ends the list of a client."""
    monkeypatch.setattr(openai, "_PAGE", 2)
    monkeypatch.setattr(openai, "_MOST_PAGES", 2)
    made = sorted([(await create(client)).id for _ in range(9)])
    for job_id in made[3:]:
        await complete(resources, job_id)
        assert (await client.delete(f"{VIDEOS}/{job_id}")).status_code == 200
    first = await listed(client, limit=1)
    assert ([one["id"] for one in first["data"]], first["last_id"]) == ([made[2]], made[2])
    assert first["has_more"] is True
    rest = await listed(client, limit=5, after=made[2])
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([made[1], made[0]], False)


async def test_only_a_final_video_can_be_deleted(client: httpx.AsyncClient) -> None:
    made = await create(client)
    answer = await client.delete(f"{VIDEOS}/{made.id}")
    refused(answer, 400, "video_not_final", "video_id")
    assert answer.headers["x-should-retry"] == "false"
    assert video(await client.get(f"{VIDEOS}/{made.id}")).id == made.id


async def test_content_that_is_not_ready_or_not_there_is_a_404(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    made = await create(client)
    path = f"{VIDEOS}/{made.id}/content"
    refused(await client.get(path), 404, "video_not_ready", "video_id")
    await complete(resources, made.id)
    binary = {"accept": "application/binary"}
    found = await client.get(path, headers=binary)
    assert (found.status_code, found.headers["location"]) == (302, "https://cdn.example.com/v.mp4")
    for variant in ("thumbnail", "spritesheet", "x"):
        refused(await client.get(path, params={"variant": variant}), 404, "variant_unavailable", "variant")


async def test_our_copy_is_served_with_ranges_and_goes_with_the_video(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job = await copied(resources, await completed(resources))
    asset, path = job.assets[Variant.VIDEO], f"{VIDEOS}/{job.id}"
    assert asset.key is not None
    assert asset.expires_at is not None
    assert video(await client.get(path)).expires_at == asset.expires_at // 1000
    whole = await client.get(f"{path}/content")
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, VIDEO, "video/mp4")
    part = await client.get(f"{path}/content?variant=video", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, VIDEO[10:20])
    assert (await client.head(f"{path}/content")).headers["content-length"] == str(len(VIDEO))
    refused(
        await client.get(f"{path}/content", headers={"range": "bytes=999999-"}), 416, "range_not_satisfiable"
    )
    assert (await client.delete(path)).status_code == 200
    refused(await client.get(f"{path}/content"), 404, "not_found")
    with pytest.raises(NotFound):
        await resources.media.size(asset.key)
    gone = await client.get(f"/v1/jobs/{job.id}/content")
    assert (gone.status_code, gone.json()["errors"][0]["code"]) == (410, "result_gone")


async def test_a_cover_is_the_thumbnail(client: httpx.AsyncClient, resources: Resources) -> None:
    job = await copied(resources, await completed(resources), Variant.COVER, b"\xff\xd8\xffcover")
    answer = await client.get(f"{VIDEOS}/{job.id}/content?variant=thumbnail")
    assert (answer.content, answer.headers["content-type"]) == (b"\xff\xd8\xffcover", "image/jpeg")
