"""What the upstream fetches: by a signed address alone, whole or in part, until it expires."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from structlog.testing import capture_logs

from gateway.media.folder import MARKER
from gateway.media.links import media_token
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.web.api import media, stored_content
from gateway.web.state import State
from tests.gateway.generation.media_samples import image
from tests.gateway.web.api.test_uploads import stored, upload
from tests.gateway.web.conftest import without_request_id

RAW = image("png", (400, 300))
SIZE = len(RAW)


@pytest.fixture
async def made(client: httpx.AsyncClient) -> dict[str, Any]:
    return await upload(client, RAW)


@pytest.fixture
def path(made: dict[str, Any]) -> str:
    return str(urlsplit(made["url"]).path)


async def test_whoever_has_the_address_gets_the_file(
    nobody: httpx.AsyncClient, made: dict[str, Any], path: str
) -> None:
    answer = await nobody.get(path)
    assert (answer.status_code, answer.content) == (200, RAW)
    headers = answer.headers
    assert headers["etag"] == f'"{hashlib.sha256(RAW).hexdigest()}"'
    assert headers["content-type"] == "image/png"
    assert headers["content-disposition"] == f'attachment; filename="{made["id"]}.png"'
    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert "sandbox" in headers["content-security-policy"] or "'none'" in headers["content-security-policy"]
    head = await nobody.head(path)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(SIZE))
    assert {**head.headers, "x-request-id": ""} == {**headers, "x-request-id": ""}


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, SIZE),
        ("bytes=-10", SIZE - 10, SIZE),
        ("bytes=-999999999", 0, SIZE),
        ("bytes=5-999999999", 5, SIZE),
        ("bytes=0-0", 0, 1),
    ],
)
async def test_a_part_is_served(
    nobody: httpx.AsyncClient, path: str, asked: str, start: int, end: int
) -> None:
    answer = await nobody.get(path, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, RAW[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=-0", f"bytes={SIZE}-{SIZE + 5}"])
async def test_a_part_that_is_not_there_is_refused(nobody: httpx.AsyncClient, path: str, asked: str) -> None:
    answer = await nobody.get(path, headers={"Range": asked})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{SIZE}")


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=0-1,5-6", "lines=0-1", "bytes=x-", "bytes=-"])
async def test_what_is_no_single_range_is_passed_over(
    nobody: httpx.AsyncClient, path: str, asked: str
) -> None:
    answer = await nobody.get(path, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, RAW)


async def test_a_part_of_another_file_is_never_mixed_in(nobody: httpx.AsyncClient, path: str) -> None:
    etag = f'"{hashlib.sha256(RAW).hexdigest()}"'
    for condition, status in ((etag, 206), ('"other"', 200), (f"W/{etag}", 200), ("Tue, 01 Dec 2026", 200)):
        answer = await nobody.get(path, headers={"Range": "bytes=0-9", "If-Range": condition})
        assert answer.status_code == status, condition
    assert (await nobody.get(path, headers={"If-None-Match": f'"x", {etag}'})).status_code == 304


async def test_an_altered_or_expired_address_is_as_unknown_as_any(
    nobody: httpx.AsyncClient, made: dict[str, Any], path: str, resources: Resources
) -> None:
    now = int(resources.environment.clock())
    good = path.rpartition("/")[2]
    kid, name, until, mac = good.split(".")
    altered = [
        media_token(resources.keyring, made["id"], now - 1),
        f"{kid}.{name}.{int(until) + 1}.{mac}",
        f"{kid}.{name[:-1]}{'0' if name[-1] != '0' else '1'}.{until}.{mac}",
        f"k9.{name}.{until}.{mac}",
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        good + "A",
        "x",
        media_token(resources.keyring, "upl_" + "0" * 26, now + 60),
    ]
    answers = [await nobody.get(f"/media/{token}") for token in altered]
    assert {answer.status_code for answer in answers} == {404}
    assert len({without_request_id(answer) for answer in answers}) == 1
    assert (await nobody.get(path)).status_code == 200


async def test_a_deleted_upload_is_served_only_while_a_job_holds_it(
    client: httpx.AsyncClient,
    nobody: httpx.AsyncClient,
    made: dict[str, Any],
    path: str,
    resources: Resources,
) -> None:
    key = f"{{gw}}:upload:{made['id']}"
    await resources.redis.hset(key, "pins", "1")  # type: ignore[misc]
    assert (await client.delete(f"/v1/uploads/{made['id']}")).status_code == 204
    assert (await nobody.get(path)).content == RAW
    await resources.redis.hset(key, "pins", "0")  # type: ignore[misc]
    assert (await nobody.get(path)).status_code == 404


@pytest.mark.parametrize("bucket", [False, True], ids=["folder", "bucket"])
@pytest.mark.parametrize("damage", ["missing", "shorter"])
async def test_a_lost_file_is_a_404_and_an_error_in_the_log(
    nobody: httpx.AsyncClient,
    made: dict[str, Any],
    path: str,
    state: State,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
    bucket: bool,
) -> None:
    async def sign(self: object, key: str, seconds: int, *, media_type: str, filename: str | None) -> str:
        return f"https://bucket.example.com/{key}"

    if bucket:
        monkeypatch.setattr(type(state.resources.media), "sign", sign)
    file = stored(settings)[0]
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(RAW[:-1])
    for method in ("GET", "HEAD"):
        with capture_logs() as logged:
            answer = await nobody.request(method, path)
        assert answer.status_code == 404
        # the gateway may say meanwhile that its store is ready
        [line] = [one for one in logged if one["event"] != "media_ready"]
        assert (line["event"], line["log_level"]) == ("media_lost", "error")
        assert (line["upload"], line["tenant"]) == (made["id"], "acme")
        assert path.rpartition("/")[2] not in str(line)


async def test_a_store_that_is_away_is_a_503_and_no_loss(
    nobody: httpx.AsyncClient, made: dict[str, Any], path: str, settings: Settings
) -> None:
    stored(settings)[0].rename(settings.blob_dir / "elsewhere")
    (settings.blob_dir / MARKER).unlink()
    with capture_logs() as logged:
        statuses = [(await nobody.get(path)).status_code for _ in range(2)]
        (settings.blob_dir / "elsewhere").rename(settings.blob_dir / "uploads" / f"{made['id']}.png")
        statuses.append((await nobody.get(path)).status_code)
    assert statuses == [503, 503, 200]
    events = [line["event"] for line in logged if line["event"] != "media_folder_missing"]
    assert events == ["content_away", "content_back"]


async def test_a_bucket_serves_its_files_itself(
    nobody: httpx.AsyncClient, made: dict[str, Any], path: str, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def sign(self: object, key: str, seconds: int, *, media_type: str, filename: str | None) -> str:
        asked.append((key, media_type, filename))
        return "https://bucket.example.com/x?signature=y"

    monkeypatch.setattr(type(state.resources.media), "sign", sign)
    answer = await nobody.get(path)
    assert (answer.status_code, answer.headers["location"]) == (
        302,
        "https://bucket.example.com/x?signature=y",
    )
    assert asked == [(f"uploads/{made['id']}.png", "image/png", None)]
    assert (await nobody.head(path)).status_code == 200


async def test_one_file_has_so_many_places_and_each_is_given_back(
    nobody: httpx.AsyncClient, path: str, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, store = asyncio.Event(), type(state.resources.media)
    plain = store.stream

    async def slowly(self: Any, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        await going.wait()
        async for piece in plain(self, key, start, end):
            yield piece

    monkeypatch.setattr(store, "stream", slowly)
    monkeypatch.setattr(media, "AT_ONCE", 2)
    fetching = [asyncio.create_task(nobody.get(path)) for _ in range(2)]
    while state.held.sum("media of acme") < 2:  # noqa: ASYNC110  # it is in shared memory
        await asyncio.sleep(0.01)
    refused = await nobody.get(path)
    assert (refused.status_code, refused.json()["limit"]) == (429, "media_fetches")
    going.set()
    assert [answer.content for answer in await asyncio.gather(*fetching)] == [RAW, RAW]
    assert state.held.sum("media of acme") == 0
    assert (await nobody.get(path)).content == RAW


async def test_a_file_that_is_asked_for_too_often_is_refused_for_a_while(
    nobody: httpx.AsyncClient, path: str, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state.fetches, "burst", 2)
    monkeypatch.setattr(state.fetches, "per_second", 0.01)
    statuses = [(await nobody.get(path)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


async def test_a_client_that_takes_it_too_slowly_gives_its_place_back(
    path: str, state: State, monkeypatch: pytest.MonkeyPatch, nobody: httpx.AsyncClient
) -> None:
    async def never(self: Any, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        yield RAW[:1]
        await asyncio.Event().wait()

    monkeypatch.setattr(type(state.resources.media), "stream", never)
    monkeypatch.setattr(stored_content, "FIRST_SECONDS", 0.05)
    [answer] = await asyncio.gather(nobody.get(path), return_exceptions=True)
    assert not isinstance(answer, httpx.Response) or len(answer.content) == 1
    assert state.held.sum("media of acme") == 0
