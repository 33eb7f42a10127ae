"""Files on their way to the gateway."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.client import AsyncClient, Client, Upload
from gateway.client.files import INLINE_BYTES, Source
from gateway.client.network import Blocking
from tests.gateway.client.scripted import KEY, Reply, scripted

JOB = Reply(202, {"id": "job_1", "status": "queued"})
UPLOAD = Reply(201, {"id": "upl_1", "bytes": 1})
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
LARGE = PNG + bytes(INLINE_BYTES)


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0AVI LIST", "video/x-msvideo"),
        (b"\0\0\0\x20ftypisom", "video/mp4"),
        (b"\0\0\0\x20ftypqt  ", "video/quicktime"),
        (b"\0\0\0\x08wide", "video/quicktime"),
    ],
)
def test_the_first_bytes_decide_the_type_of_a_small_file(raw: bytes, kind: str) -> None:
    assert Source(raw).data_uri() == f"data:{kind};base64,{base64.b64encode(raw).decode()}"


def test_urls_ids_and_uploads_are_sent_as_they_are() -> None:
    with scripted(JOB) as server, Client(server.url, KEY) as client:
        client.jobs.submit(
            "fox", ["https://x/a.png", "upl_1", Upload(id="upl_2")], videos=["https://x/b.mp4"]
        )
    body = json.loads(server.asked[0].body)
    assert body["images"] == ["https://x/a.png", "upl_1", "upl_2"]
    assert body["videos"] == ["https://x/b.mp4"]


@pytest.mark.parametrize("kind", ["path", "bytes", "file"])
def test_a_large_file_is_uploaded_whole_by_each_attempt(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Blocking, "sleep", staticmethod(lambda _: None))
    path = tmp_path / "large.png"
    path.write_bytes(LARGE)
    seen: list[tuple[int, int | None]] = []
    with (
        scripted(Reply(drop=True), UPLOAD, JOB) as server,
        Client(server.url, KEY) as client,
        path.open("rb") as opened,
    ):
        media: Any = {"path": path, "bytes": LARGE, "file": opened}[kind]
        client.jobs.submit("fox", [media], progress=lambda sent, size: seen.append((sent, size)))
    assert [one.path for one in server.asked] == ["/v1/uploads", "/v1/uploads", "/v1/jobs"]
    assert [one.body for one in server.asked[:2]] == [LARGE, LARGE]
    assert json.loads(server.asked[2].body)["images"] == ["upl_1"]
    assert seen[-1] == (len(LARGE), len(LARGE))


def test_the_asynchronous_client_uploads_too() -> None:
    async def submitted(url: str) -> None:
        async with AsyncClient(url, KEY) as client:
            await client.jobs.submit("fox", [io.BytesIO(LARGE)])

    with scripted(UPLOAD, JOB) as server:
        asyncio.run(submitted(server.url))
    assert server.asked[0].body == LARGE


def test_an_open_file_is_read_from_where_it_stands() -> None:
    file = io.BytesIO(b"skipped" + PNG)
    file.seek(7)
    with scripted(UPLOAD) as server, Client(server.url, KEY) as client:
        client.uploads.create(file)
    assert server.asked[0].body == PNG


def test_what_cannot_be_read_twice_is_refused() -> None:
    with Client("http://127.0.0.1:1", KEY) as client, pytest.raises(ValueError, match="read twice"):
        client.uploads.create(Pipe(PNG))


@pytest.mark.parametrize(
    "one", ["https://x/a.png", PNG, Path("fox.png"), Upload(id="upl_1"), io.BytesIO(PNG)]
)
def test_one_file_is_no_list(one: Any) -> None:
    with Client("http://127.0.0.1:1", KEY) as client, pytest.raises(TypeError, match="images: pass a list"):
        client.jobs.submit("fox", one)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (["/tmp/fox.png"], r"^images: a text is a URL; for a file pass Path\('/tmp/fox.png'\)$"),
        (["fox.png"], r"pass Path\('fox.png'\)$"),
        ([], "^images: pass 1 to 7 pictures$"),
        (None, "^images: pass a list, not None$"),
        (5, "^images: pass a list, not 5$"),
        ([None], "^images: a file is a Path, bytes or a file that was opened with 'rb', not None$"),
        ([object()], "^images: .* not object$"),
        ([io.StringIO("text")], "^images: .* open it with 'rb'$"),
    ],
)
def test_what_is_no_picture_is_refused_before_anything_is_sent(images: Any, told: str) -> None:
    with (
        scripted(JOB) as server,
        Client(server.url, KEY) as client,
        pytest.raises((TypeError, ValueError), match=told),
    ):
        client.jobs.submit("fox", images)
    assert server.asked == []


def test_nothing_is_uploaded_for_a_job_with_a_file_that_cannot_be_sent() -> None:
    with (
        scripted(UPLOAD) as server,
        Client(server.url, KEY) as client,
        pytest.raises(ValueError, match=r"^videos: a text is a URL"),
    ):
        client.jobs.submit("fox", [LARGE], videos=["clip.mp4"])
    assert server.asked == []


@pytest.mark.parametrize("file", [None, "fox.png", io.StringIO("text")])
def test_what_is_no_file_is_not_uploaded(file: Any) -> None:
    with Client("http://127.0.0.1:1", KEY) as client, pytest.raises(TypeError, match=r"^file: .*'rb'"):
        client.uploads.create(file)
