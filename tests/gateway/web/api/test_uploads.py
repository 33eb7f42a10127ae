"""Handing over files: what is taken, what is refused and when, and who sees it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette

from gateway.errors import StoreUnavailable
from gateway.resources import Resources, open_resources
from gateway.settings import Settings
from gateway.web.api import upload_files
from gateway.web.http import streamed
from gateway.web.schemas import uploads as schemas
from gateway.web.state import State
from tests.gateway.generation.media_samples import animation, clip, image, sound
from tests.gateway.web.conftest import MakeKey, add_key, connected
from tests.gateway.web.live import listening
from tests.gateway.web.parsing import parsed

MP4 = {"Content-Type": "video/mp4"}
PNG = {"Content-Type": "image/png"}
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
HTML = b"<!doctype html><title>x</title>"


async def upload(client: httpx.AsyncClient, raw: bytes, kind: str = "image/png") -> dict[str, Any]:
    answer = await client.post("/v1/uploads", content=raw, headers={"Content-Type": kind})
    assert answer.status_code in (200, 201), answer.text
    document: dict[str, Any] = answer.json()
    return document


def stored(settings: Settings) -> list[Path]:
    """Every file in the media store, unfinished ones too, but for the marker."""
    return [path for path in settings.blob_dir.rglob("*") if path.is_file() and "vidu" not in path.name]


async def test_a_picture_is_stored_and_described(client: httpx.AsyncClient, settings: Settings) -> None:
    raw = image("png", (300, 200))
    answer = await client.post("/v1/uploads", content=raw, headers=PNG)
    assert answer.status_code == 201
    made = parsed(schemas.Upload, answer.content)
    assert answer.headers["location"] == f"/v1/uploads/{made['id']}"
    assert (made["bytes"], made["sha256"]) == (len(raw), hashlib.sha256(raw).hexdigest())
    assert (made["media_type"], made["width"], made["height"], made["seconds"]) == (
        "image/png",
        300,
        200,
        None,
    )
    [file] = stored(settings)
    assert file.read_bytes() == raw
    assert file.relative_to(settings.blob_dir) == Path("uploads", f"{made['id']}.png")
    shown = parsed(schemas.Upload, (await client.get(f"/v1/uploads/{made['id']}")).content)
    assert shown == made


@pytest.mark.parametrize("container", ["mp4", "mov", "avi"])
async def test_a_clip_is_measured(client: httpx.AsyncClient, container: str) -> None:
    made = await upload(client, clip(2.0, (256, 128), container), "application/octet-stream")
    assert (made["width"], made["height"]) == (256, 128)
    assert made["seconds"] == pytest.approx(2.0, abs=0.11)


async def test_a_form_may_hold_the_file(client: httpx.AsyncClient) -> None:
    raw = image("webp")
    answer = await client.post("/v1/uploads", files={"file": ("x.bin", raw, "text/plain")})
    assert answer.status_code == 201, answer.text
    assert (answer.json()["sha256"], answer.json()["media_type"]) == (
        hashlib.sha256(raw).hexdigest(),
        "image/webp",
    )


async def test_a_form_in_the_smallest_pieces_is_the_same_file(client: httpx.AsyncClient) -> None:
    raw = image("png") + b"\r\n--almost\r\n--" + bytes(50)
    head = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    whole = head + raw + b"\r\n--edge--\r\n"

    async def bytewise() -> AsyncIterator[bytes]:
        for at in range(len(whole)):
            yield whole[at : at + 1]

    answer = await client.post(
        "/v1/uploads", content=bytewise(), headers={"Content-Type": "multipart/form-data; boundary=edge"}
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["sha256"] == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ([("other", ("a", image("png")))], "unknown_parameter"),
        ([("file", ("a", image("png"))), ("file", ("b", image("png")))], "given_twice"),
        ([("file", ("a", b""))], "media_unknown"),
        ([("file", ("a", SVG))], "media_unknown"),
    ],
)
async def test_a_form_with_anything_else_is_refused(
    client: httpx.AsyncClient, settings: Settings, files: Any, code: str
) -> None:
    answer = await client.post("/v1/uploads", files=files)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, code)
    assert stored(settings) == []


@pytest.mark.parametrize(
    ("body", "declared"),
    [
        (b"no boundary at all", "multipart/form-data; boundary=edge"),
        (
            b"--edge\r\nContent-Disposition: form-data; name=file\r\n\r\nabc",
            "multipart/form-data; boundary=edge",
        ),
        (b"--edge--", "multipart/form-data"),
    ],
)
async def test_a_broken_form_is_a_bad_request(client: httpx.AsyncClient, body: bytes, declared: str) -> None:
    answer = await client.post("/v1/uploads", content=body, headers={"Content-Type": declared})
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (SVG, "media_unknown"),
        (HTML, "media_unknown"),
        (b"", "media_unknown"),
        (image("gif"), "media_unknown"),
        (animation("png"), "animated_image"),
        (image("png", (127, 128)), "media_too_small"),
        (image("png", (128, 600)), "media_ratio"),
        (image("png", (300, 300))[:150], "media_truncated"),
        (image("jpeg", (300, 300))[:300], "media_truncated"),
        (clip(2.0)[:2000], "media_truncated"),
        (clip(9.0), "clip_too_long"),
        (clip(0.5, (126, 128)), "media_too_small"),
        (sound(), "clip_without_video"),
        (b"\0\0\0\x18ftypisom" + b"\0" * 500, "media_truncated"),
    ],
)
async def test_a_file_that_jobs_could_not_use_is_refused_and_leaves_nothing(
    client: httpx.AsyncClient, settings: Settings, resources: Resources, raw: bytes, code: str
) -> None:
    answer = await client.post("/v1/uploads", content=raw, headers=MP4)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, code), answer.text
    assert stored(settings) == []
    assert not await resources.redis.keys("{gw}:upload:*")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Content-Type", "application/json"),
        ("Content-Type", "image-png"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Encoding", "gzip"),
    ],
)
async def test_what_is_declared_as_no_file_is_not_read(
    client: httpx.AsyncClient, header: str, value: str
) -> None:
    answer = await client.post("/v1/uploads", content=image("png"), headers={**PNG, header: value})
    assert answer.status_code == 415
    assert answer.json()["errors"][0]["param"] == header


async def test_the_same_content_is_the_same_upload_and_lives_longer(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, settings: Settings, resources: Resources
) -> None:
    first = await upload(client, image("png"))
    await resources.redis.hset(f"{{gw}}:upload:{first['id']}", "expires_at", "1")  # type: ignore[misc]
    again = await client.post("/v1/uploads", content=image("png"), headers=PNG)
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    assert again.json()["expires_at"] >= first["expires_at"]
    assert len(stored(settings)) == 1
    assert (await upload(stranger, image("png")))["id"] != first["id"]


async def test_a_file_that_was_lost_is_mended_by_a_repeat(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    first = await upload(client, image("png"))
    [file] = stored(settings)
    file.unlink()
    assert (await upload(client, image("png")))["id"] == first["id"]
    assert [path.read_bytes() for path in stored(settings)] == [image("png")]


async def test_uploads_are_listed_newest_first_in_pages(client: httpx.AsyncClient) -> None:
    made = [(await upload(client, image("png", (128 + at, 128))))["id"] for at in range(3)]
    first = parsed(schemas.UploadList, (await client.get("/v1/uploads?limit=2")).content)
    assert ([one["id"] for one in first["data"]], first["has_more"]) == (made[:0:-1], True)
    second = (await client.get(str(first["next"]))).json()
    assert ([one["id"] for one in second["data"]], second["has_more"], second["next"]) == (
        made[:1],
        False,
        None,
    )


async def test_a_deleted_upload_is_gone_with_its_file(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, settings: Settings, resources: Resources
) -> None:
    made = await upload(client, image("png"))
    path = f"/v1/uploads/{made['id']}"
    assert (await stranger.delete(path)).status_code == 404
    assert (await client.delete(path)).status_code == 204
    assert (await client.delete(path)).status_code == (await client.get(path)).status_code == 404
    assert (await client.get("/v1/uploads")).json()["data"] == []
    assert stored(settings) == []
    assert [key for key in await resources.redis.keys("{gw}:*") if "upload" in key] == []
    assert (await upload(client, image("png")))["id"] != made["id"]


async def test_a_tenant_has_limits_that_repeats_do_not_count_for(
    client: httpx.AsyncClient,
    resources: Resources,
    state: State,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> None:
    uploads = state.resources.uploads
    monkeypatch.setattr(uploads, "_limits", type(uploads._limits)(10**6, 1, 60_000))
    await upload(client, image("png"))
    refused = await client.post("/v1/uploads", content=image("png", (200, 200)), headers=PNG)
    assert (refused.status_code, refused.json()["limit"]) == (429, "stored_uploads")
    assert int(refused.headers["retry-after"]) > 0
    await upload(client, image("png"))
    monkeypatch.setattr(uploads, "_limits", type(uploads._limits)(len(image("png")) + 10, 9, 60_000))
    refused = await client.post("/v1/uploads", content=image("png", (200, 200)), headers=PNG)
    assert (refused.status_code, refused.json()["limit"]) == (429, "uploaded_bytes")
    assert len(stored(settings)) == 1


async def test_a_full_disk_is_named_with_a_time_to_come_back(
    client: httpx.AsyncClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr("gateway.web.http.spool.os.write", full)
        answer = await client.post("/v1/uploads", content=image("png"), headers=PNG)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert "No space left" in answer.json()["detail"]
    assert stored(settings) == []
    await upload(client, image("png"))


async def test_without_the_store_nothing_is_promised(
    client: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable("Redis does not answer")

    monkeypatch.setattr(state.resources.uploads, "known", away)
    answer = await client.post("/v1/uploads", content=image("png"), headers=PNG)
    assert answer.status_code == 503
    assert stored(settings) == []


@pytest.fixture
def served(settings: Settings, empty_redis: None) -> Iterator[str]:
    with listening(settings) as url:
        yield url


async def _key(settings: Settings) -> str:
    async with open_resources(settings, retries=1) as resources:
        return await add_key(resources, "acme")


@pytest.fixture
def raw_key(served: str, settings: Settings) -> str:
    return asyncio.run(_key(settings))


def post_raw(url: str, key: str, head: str, pieces: Iterator[bytes]) -> tuple[bytes, int]:
    """The start of the answer, and how many bytes were sent until it came."""
    place = urlsplit(url)
    with socket.create_connection((str(place.hostname), place.port or 0)) as wire:
        wire.sendall(
            f"POST /v1/uploads HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: video/mp4\r\n{head}\r\n\r\n".encode()
        )
        sent = 0
        wire.setblocking(False)
        answer = b""
        for piece in pieces:
            while piece and not answer:
                with contextlib.suppress(BlockingIOError):
                    answer = wire.recv(4096)
                try:
                    count = wire.send(piece)
                except BlockingIOError:
                    time.sleep(0.001)
                except (BrokenPipeError, ConnectionResetError):
                    piece = b""
                else:
                    sent, piece = sent + count, piece[count:]
            if answer:
                break
        wire.setblocking(True)
        wire.settimeout(30)
        while b"\r\n" not in answer:
            answer += wire.recv(4096)
        return answer, sent


def endless() -> Iterator[bytes]:
    yield clip(1.0)[:64]
    while True:
        yield bytes(64 * 1024)


def test_a_clip_that_is_declared_too_large_is_refused_at_its_head(served: str, raw_key: str) -> None:
    answer, _ = post_raw(served, raw_key, f"Content-Length: {101 * 10**6}", iter(()))  # nothing was sent
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_clip_that_turns_out_too_large_is_cut_off(
    served: str, raw_key: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_files, "MAX_BYTES", {"image": 10**6, "video": 3 * 10**6})

    def chunked() -> Iterator[bytes]:
        for piece in endless():
            yield b"%x\r\n%b\r\n" % (len(piece), piece)

    answer, sent = post_raw(served, raw_key, "Transfer-Encoding: chunked", chunked())
    assert answer.startswith(b"HTTP/1.1 413")
    assert 3 * 10**6 < sent < 12 * 10**6  # what the sockets hold counts as sent
    assert stored(settings) == []


def test_a_picture_of_more_than_50_mb_is_refused_by_its_first_bytes(served: str, raw_key: str) -> None:
    def picture() -> Iterator[bytes]:
        yield image("png")[:64]
        while True:
            yield bytes(64 * 1024)

    answer, sent = post_raw(served, raw_key, f"Content-Length: {51 * 10**6}", picture())
    assert answer.startswith(b"HTTP/1.1 413")
    assert sent < 2 * 10**7


def test_an_upload_that_stalls_is_ended(
    served: str, raw_key: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "seconds_for", lambda size, most: 0.2)
    answer, _ = post_raw(served, raw_key, "Content-Length: 5000", iter([clip(1.0)[:64]]))
    assert answer.startswith(b"HTTP/1.1 408")
    assert stored(settings) == []


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(
    served: str, raw_key: str, settings: Settings
) -> None:
    place = urlsplit(served)
    with socket.create_connection((str(place.hostname), place.port or 0)) as wire:
        wire.sendall(
            f"POST /v1/uploads HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {raw_key}\r\n"
            "Content-Length: 50000000\r\n\r\n".encode()
            + clip(1.0)
            + bytes(5_000_000)
        )
        eventually(lambda: len(stored(settings)) == 1)
    eventually(lambda: stored(settings) == [])


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_one_tenant_s_uploads_do_not_take_all_places(
    app: Starlette, make_key: MakeKey, state: State
) -> None:
    going = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield image("png")[:64]
        await going.wait()
        yield image("png")[64:]

    async with (
        connected(app, await make_key("acme")) as mine,
        connected(app, await make_key("zeta")) as theirs,
    ):
        slowly = [
            asyncio.create_task(mine.post("/v1/uploads", content=slow(), headers=PNG))
            for _ in range(upload_files.OF_TENANT)
        ]
        while state.held.sum("uploads acme") < upload_files.OF_TENANT:  # noqa: ASYNC110  # in shared memory
            await asyncio.sleep(0.01)
        refused = await mine.post("/v1/uploads", content=image("png"), headers=PNG)
        assert (refused.status_code, refused.json()["limit"]) == (429, "open_uploads")
        await upload(theirs, image("png"))
        going.set()
        answers = await asyncio.gather(*slowly)
        assert sorted({answer.status_code for answer in answers}) == [200, 201]
        assert len({answer.json()["id"] for answer in answers}) == 1
    assert state.held.sum("uploads") == 0
