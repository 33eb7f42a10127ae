"""Signed links: whoever has one may fetch one file until it expires, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from starlette.applications import Starlette

from gateway.assets import Asset, AssetState, Variant
from gateway.media.folder import FolderStore
from gateway.media.links import content_link
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.web.api import stored_content
from gateway.web.app import _LINKS
from gateway.web.schemas.links import MAX_SECONDS
from gateway.web.state import State
from tests.gateway.web.api.copying import DAY_MS, UPSTREAM, VIDEO, completed, copied, put_asset
from tests.gateway.web.api.hearing import post
from tests.gateway.web.conftest import MakeKey, connected, serving
from tests.gateway.web.http.test_bodies import HOSTILE, JSON

BASE = "https://video.example.com/gw"


@pytest.fixture
async def app(settings: Settings, empty_redis: None) -> AsyncIterator[Starlette]:
    async with serving(settings.model_copy(update={"client_url": BASE})) as started:
        yield started


def relative(url: str) -> str:
    return url.removeprefix(BASE)


def changed(url: str, **query: str) -> str:
    """The path of the link with other values."""
    parts = urlsplit(relative(url))
    given = {name: values[0] for name, values in parse_qs(parts.query).items()} | query
    return f"{parts.path}?{urlencode({name: value for name, value in given.items() if value})}"


async def link_to(client: httpx.AsyncClient, job_id: str, **wanted: Any) -> str:
    answer = await client.post(f"/v1/jobs/{job_id}/links", json=wanted)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["url"])


def remaining(answer: httpx.Response, resources: Resources) -> float:
    """Seconds until the link expires."""
    return datetime.fromisoformat(answer.json()["expires_at"]).timestamp() - resources.environment.clock()


async def test_a_link_opens_its_file_to_anybody(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources
) -> None:
    job = await copied(resources, await completed(resources))
    made = await client.post(f"/v1/jobs/{job.id}/links", json={"variant": "video", "seconds": 600})
    link = made.json()
    assert (made.status_code, link["object"], link["variant"]) == (201, "link", "video")
    assert link["url"].startswith(f"{BASE}/v1/jobs/{job.id}/content?variant=video&exp=")
    assert 590 < remaining(made, resources) <= 600
    answer = await nobody.get(relative(link["url"]))
    assert (answer.status_code, answer.content) == (200, VIDEO)
    part = await nobody.get(f"{relative(link['url'])}&download=1", headers={"Range": "bytes=0-99"})
    assert (part.status_code, part.content) == (206, VIDEO[:100])
    assert part.headers["content-disposition"].startswith("attachment")
    assert (await nobody.head(relative(link["url"]))).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"variant": "cover"},
        {"exp": "99999999999"},
        {"exp": "1e9"},
        {"exp": "٣"},
        {"exp": ""},
        {"exp": "9" * 5000},
        {"kid": "k2"},
        {"kid": ""},
        {"sig": "A" * 32},
        {"sig": "ü"},
        {"sig": "%00"},
    ],
    ids=str,
)
async def test_an_altered_link_opens_nothing(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, change: dict[str, str]
) -> None:
    job = await copied(resources, await completed(resources, cover_url="https://up/c"))
    url = await link_to(client, job.id)
    for method in ("GET", "HEAD"):
        answer = await nobody.request(method, changed(url, **change))
        assert answer.status_code == 403
    problem = (await nobody.get(changed(url, **change))).json()
    assert problem["type"] == "/docs/errors/link-refused"
    assert problem["errors"][0]["code"] == "link_refused"


async def test_a_link_opens_no_other_job(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources
) -> None:
    job, other = [await copied(resources, await completed(resources)) for _ in range(2)]
    url = relative(await link_to(client, job.id))
    assert (await nobody.get(url.replace(job.id, other.id))).status_code == 403
    for path in (f"/v1/jobs/{job.id}", f"/v1/jobs/{job.id}/deliveries"):
        assert (await nobody.get(f"{path}?{urlsplit(url).query}")).status_code == 401
    assert (await nobody.delete(url)).status_code == 401
    assert (await client.get(f"/v1/jobs/{job.id}/content")).content == VIDEO


async def test_a_link_ends_at_its_time(nobody: httpx.AsyncClient, resources: Resources, state: State) -> None:
    job = await copied(resources, await completed(resources))
    now = int(resources.environment.clock())
    past = content_link(resources.keyring, "", job.id, "video", now - 1)
    answer = await nobody.get(past)
    assert (answer.status_code, "has expired" in answer.json()["detail"]) == (403, True)
    assert (await nobody.get(changed(past, exp=str(now + 60)))).status_code == 403


async def test_a_link_to_a_job_that_is_gone_says_so(nobody: httpx.AsyncClient, resources: Resources) -> None:
    until = int(resources.environment.clock()) + 60
    url = content_link(resources.keyring, "", "job_01M81JHAW84EGFGT4ZRK7P4HYT", "video", until)
    assert (await nobody.get(url)).status_code == 404


async def test_a_link_without_a_copy_redirects_and_ends_when_its_owner_deletes_the_file(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources
) -> None:
    alive = Asset(AssetState.PENDING, UPSTREAM, dies_at=resources.environment.now_ms() + DAY_MS)
    job = await put_asset(resources, await completed(resources), Variant.VIDEO, alive)
    url = relative(await link_to(client, job.id))
    assert (await nobody.get(url)).headers["location"] == UPSTREAM
    await client.delete(f"/v1/jobs/{job.id}/content")
    assert (await nobody.get(url)).status_code == 410
    assert (await client.post(f"/v1/jobs/{job.id}/links", json={})).status_code == 410


async def test_a_link_ends_with_the_copy(client: httpx.AsyncClient, resources: Resources) -> None:
    soon = resources.environment.now_ms() + 100_000
    job = await copied(resources, await completed(resources), expires_at=soon)
    made = await client.post(f"/v1/jobs/{job.id}/links", json={"seconds": MAX_SECONDS})
    assert 90 < remaining(made, resources) <= 100


async def test_a_bucket_s_url_ends_with_the_link(
    client: httpx.AsyncClient,
    nobody: httpx.AsyncClient,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    async def sign(_: FolderStore, key: str, seconds: int, **named: object) -> str | None:
        asked.append(seconds)
        return "https://bucket.example.com/v"

    monkeypatch.setattr(FolderStore, "sign", sign)
    job = await copied(resources, await completed(resources))
    assert (await nobody.get(relative(await link_to(client, job.id, seconds=100)))).status_code == 302
    assert (await nobody.get(relative(await link_to(client, job.id, seconds=99_999)))).status_code == 302
    assert 90 < asked[0] <= 100
    assert asked[1] == 3600


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"seconds": 0}, "seconds", "out_of_range"),
        ({"seconds": MAX_SECONDS + 1}, "seconds", "out_of_range"),
        ({"seconds": "60"}, "seconds", "wrong_type"),
        ({"seconds": None}, "seconds", "wrong_type"),
        ({"variant": "sprite"}, "variant", "not_one_of"),
        ({"variant": 1}, "variant", "wrong_type"),
        ({"second": 1}, "second", "unknown_parameter"),
        ([], "", "not_an_object"),
    ],
    ids=str,
)
async def test_a_wrong_wish_is_refused_with_the_field_and_the_way_out(
    client: httpx.AsyncClient, resources: Resources, body: object, param: str, code: str
) -> None:
    job = await completed(resources)
    answer = await client.post(f"/v1/jobs/{job.id}/links", json=body)
    assert answer.status_code == 422
    [fault] = answer.json()["errors"]
    assert (fault["param"], fault["code"]) == (param, code)
    assert fault["message"]


@pytest.mark.parametrize("name", list(HOSTILE))
async def test_what_is_no_json_is_refused(client: httpx.AsyncClient, resources: Resources, name: str) -> None:
    job = await completed(resources)
    answer = await client.post(f"/v1/jobs/{job.id}/links", content=HOSTILE[name], headers=JSON)
    assert answer.status_code in (400, 413, 422)


async def test_there_is_no_link_to_what_there_is_not(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, resources: Resources
) -> None:
    waiting, job = await post(resources), await completed(resources)
    refused = await client.post(f"/v1/jobs/{waiting.id}/links", json={})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (404, "result_not_ready")
    refused = await client.post(f"/v1/jobs/{job.id}/links", json={"variant": "cover"})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (404, "variant_unavailable")
    assert (await stranger.post(f"/v1/jobs/{job.id}/links", json={})).status_code == 404


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ({"allowed_hosts": ["gateway"]}, "http://gateway"),
        ({"public_url": "https://gateway/gw"}, "https://gateway/gw"),
        ({"public_url": "https://elsewhere/gw"}, None),
        ({}, None),
    ],
    ids=["hosts are known", "the public URL, behind TLS", "the public URL of another host", "any host"],
)
async def test_without_a_base_url_only_a_known_host_is_the_base(
    settings: Settings, resources: Resources, make_key: MakeKey, given: dict[str, Any], base: str | None
) -> None:
    job = await copied(resources, await completed(resources))
    async with (
        serving(settings.model_copy(update=given)) as app,
        connected(app, await make_key()) as client,
    ):
        answer = await client.post(f"/v1/jobs/{job.id}/links", json={})
    if base is None:
        assert answer.status_code == 409
        assert "set GATEWAY_CLIENT_URL" in answer.json()["detail"]
    else:
        assert answer.json()["url"].startswith(f"{base}/v1/jobs/{job.id}/content?")


async def test_links_of_a_job_have_a_rate_of_their_own(
    client: httpx.AsyncClient,
    nobody: httpx.AsyncClient,
    resources: Resources,
    state: State,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, other = [await copied(resources, await completed(resources), raw=b"x") for _ in range(2)]
    url = relative(await link_to(client, job.id))
    monkeypatch.setattr(state.links, "monotonic", lambda: 1000.0)
    assert (state.links.per_second, state.links.burst) == _LINKS
    for _ in range(_LINKS[1]):
        assert (await nobody.head(changed(url, sig="A" * 32))).status_code == 403  # costs nothing
    for _ in range(_LINKS[1]):
        assert (await nobody.head(url)).status_code == 200
    refused = await nobody.get(url)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert (await client.get(f"/v1/jobs/{job.id}/content")).status_code == 200
    assert (await nobody.get(relative(await link_to(client, other.id)))).status_code == 200


async def test_reads_by_links_are_bounded_and_leave_the_owner_s_alone(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, state: State
) -> None:
    job, other = [await copied(resources, await completed(resources)) for _ in range(2)]
    url, second = [relative(await link_to(client, one.id)) for one in (job, other)]
    for name, most in ((f"links {job.id}", stored_content.PER_JOB),):
        assert state.held.take(name, most, most)
    refused = await nobody.get(url)
    assert (refused.status_code, refused.json()["limit"]) == (429, "open_downloads")
    assert (await nobody.get(second)).status_code == 200
    assert state.held.take("links of acme", stored_content.PER_TENANT, stored_content.PER_TENANT)
    assert (await nobody.get(second)).status_code == 429
    assert (await client.get(f"/v1/jobs/{job.id}/content")).content == VIDEO
    assert state.held.take("content of acme", stored_content.PER_TENANT, stored_content.PER_TENANT)
    assert (await client.get(f"/v1/jobs/{job.id}/content")).status_code == 429
    for name, number in (
        (f"links {job.id}", stored_content.PER_JOB),
        ("links of acme", stored_content.PER_TENANT),
        ("content of acme", stored_content.PER_TENANT),
    ):
        state.held.give(name, number)
    assert (await nobody.get(url)).content == VIDEO
    held = [f"links {job.id}", f"links {other.id}", "links of acme", "content of acme", "content"]
    assert [state.held.sum(name) for name in held] == [0] * len(held)


async def test_a_signature_reaches_no_log(
    client: httpx.AsyncClient,
    nobody: httpx.AsyncClient,
    resources: Resources,
    settings_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = await copied(resources, await completed(resources))
    url = relative(await link_to(client, job.id))
    signature = parse_qs(urlsplit(url).query)["sig"][0]
    assert (await nobody.get(url)).status_code == 200
    (settings_folder / f"results/{job.id}/video.mp4").unlink()
    assert (await nobody.get(url)).status_code == 302  # it is logged that the file is missing

    async def broken(*_: object) -> int:
        raise LookupError("a bug")

    monkeypatch.setattr(FolderStore, "size", broken)
    answer = await nobody.get(url)
    assert answer.status_code == 500
    seen = "".join(capsys.readouterr())
    assert "content_missing" in seen
    assert "request_failed" in seen
    assert signature not in seen + answer.text
