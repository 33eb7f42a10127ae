"""Downloads that break, are moved, or bring something else."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from pathlib import Path
from typing import Any

import pytest

from gateway.client import AsyncClient, Client, errors
from gateway.client.network import Awaiting, Blocking
from tests.gateway.client.scripted import KEY, Reply, Server, scripted

FILE = random.Random(1).randbytes(200_000)
SHA256 = hashlib.sha256(FILE).hexdigest()
ETAG = {"ETag": f'"{SHA256}"'}
BROKEN = Reply(200, FILE, ETAG, bytes_of_body=150_000)


def job(sha256: str | None = SHA256) -> Reply:
    asset = {"url": "x", "state": "stored" if sha256 else "pending", "sha256": sha256, "bytes": len(FILE)}
    return Reply(200, {"id": "job_1", "status": "completed", "assets": {"video": asset}})


def rest(at: int, headers: dict[str, str] = ETAG) -> Reply:
    part = {"Content-Range": f"bytes {at}-{len(FILE) - 1}/{len(FILE)}"}
    return Reply(206, FILE[at:], {**headers, **part})


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_: float) -> None:
        return

    monkeypatch.setattr(Blocking, "sleep", staticmethod(lambda _: None))
    monkeypatch.setattr(Awaiting, "sleep", staticmethod(sleep))


def fetch(server: Server, to: Path, **options: Any) -> Path:
    with Client(server.url, KEY) as client:
        return client.jobs.download("job_1", to, **options)


def test_a_file_appears_whole(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    with scripted(job(), Reply(200, FILE, ETAG)) as server:
        path = fetch(server, tmp_path / "fox.mp4", progress=lambda done, size: seen.append((done, size)))
    assert path.read_bytes() == FILE
    assert seen[-1] == (len(FILE), len(FILE))
    assert server.asked[1].path == "/v1/jobs/job_1/content?variant=video"
    assert [one.name for one in tmp_path.iterdir()] == ["fox.mp4"]


def test_a_download_that_breaks_goes_on_where_it_was(tmp_path: Path) -> None:
    with scripted(job(), BROKEN, rest(150_000)) as server:
        fetch(server, tmp_path / "fox.mp4")
    assert (tmp_path / "fox.mp4").read_bytes() == FILE
    assert server.asked[2].headers["range"] == "bytes=150000-"
    assert server.asked[2].headers["if-range"] == ETAG["ETag"]


def test_the_asynchronous_client_goes_on_too(tmp_path: Path) -> None:
    async def fetched(url: str) -> bytes:
        async with AsyncClient(url, KEY) as client:
            return (await client.jobs.download("job_1", tmp_path / "fox.mp4")).read_bytes()

    with scripted(job(), BROKEN, Reply(503), rest(150_000)) as server:
        assert asyncio.run(fetched(server.url)) == FILE


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_without_a_strong_etag_it_begins_anew(headers: dict[str, str], tmp_path: Path) -> None:
    broken = Reply(200, FILE, headers, bytes_of_body=1000)
    with scripted(job(), broken, Reply(200, FILE, headers)) as server:
        fetch(server, tmp_path / "fox.mp4")
    assert (tmp_path / "fox.mp4").read_bytes() == FILE
    assert "range" not in server.asked[2].headers


def test_a_file_that_was_changed_meanwhile_is_fetched_anew(tmp_path: Path) -> None:
    older = Reply(200, b"x" * len(FILE), {"ETag": '"older"'}, bytes_of_body=1000)
    with scripted(job(), older, Reply(200, FILE, ETAG)) as server:
        fetch(server, tmp_path / "fox.mp4")
    assert (tmp_path / "fox.mp4").read_bytes() == FILE


def test_a_part_that_nobody_asked_for_is_not_joined_on(tmp_path: Path) -> None:
    with scripted(job(), BROKEN, rest(149_000)) as server, pytest.raises(errors.BadDownload):
        fetch(server, tmp_path / "fox.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("known", ["by the job", "by the etag"])
def test_another_file_than_the_stored_one_is_not_kept(known: str, tmp_path: Path) -> None:
    told = job() if known == "by the job" else job(None)
    with scripted(told, Reply(200, FILE[:-1] + b"x", ETAG)) as server, pytest.raises(errors.BadDownload):
        fetch(server, tmp_path / "fox.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_brings_nothing_more_ends(tmp_path: Path) -> None:
    nothing = Reply(200, FILE, bytes_of_body=0)
    with scripted(job(), nothing) as server, pytest.raises(errors.ConnectionFailed):
        fetch(server, tmp_path / "fox.mp4")
    assert len(server.asked) == 4
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_a_name_like_that_of_a_part_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "fox.mp4.part").write_text("mine")
    with scripted(job(), Reply(200, FILE, ETAG)) as server:
        fetch(server, tmp_path / "fox.mp4")
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {
        "fox.mp4": FILE,
        "fox.mp4.part": b"mine",
    }


def test_two_downloads_to_one_path_do_not_mix(tmp_path: Path) -> None:
    whole = Reply(200, FILE, ETAG)
    with scripted(job(), whole, job(), whole) as server:
        seen: list[int] = []

        def again(done: int, _: int | None) -> None:
            seen.append(done)
            if len(seen) == 1:
                fetch(server, tmp_path / "fox.mp4")

        fetch(server, tmp_path / "fox.mp4", progress=again)
    assert (tmp_path / "fox.mp4").read_bytes() == FILE
    assert [one.name for one in tmp_path.iterdir()] == ["fox.mp4"]


def test_a_file_is_as_readable_as_every_new_file(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with scripted(job(), Reply(200, FILE, ETAG)) as server:
        fetch(server, tmp_path / "fox.mp4")
    assert (tmp_path / "fox.mp4").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    longest = "f" * os.pathconf(tmp_path, "PC_NAME_MAX")
    with scripted(job(), Reply(200, FILE, ETAG)) as server:
        fetch(server, tmp_path / longest)
    assert [one.name for one in tmp_path.iterdir()] == [longest]


def test_a_redirect_is_followed_without_the_key(tmp_path: Path) -> None:
    with scripted(Reply(200, FILE)) as other:
        moved = Reply(302, b"", {"Location": f"{other.url}/files/a?sig=b"})
        with scripted(job(), moved) as server:
            fetch(server, tmp_path / "fox.mp4")
    assert (tmp_path / "fox.mp4").read_bytes() == FILE
    assert other.asked[0].path == "/files/a?sig=b"
    assert "authorization" not in other.asked[0].headers


def test_redirects_in_a_circle_end(tmp_path: Path) -> None:
    circle = Reply(302, b"", {"Location": "/v1/again"})
    with scripted(job(), circle) as server, pytest.raises(errors.GatewayError, match="redirected"):
        fetch(server, tmp_path / "fox.mp4")


def test_a_job_that_tells_the_hash_is_not_asked_for_again(tmp_path: Path) -> None:
    with scripted(job(), Reply(200, FILE)) as server, Client(server.url, KEY) as client:
        client.jobs.download(client.jobs.get("job_1"), str(tmp_path / "fox.mp4"))
    assert len(server.asked) == 2


def test_a_place_that_cannot_be_written_to_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with scripted(job(), Reply(200, FILE)) as server:
        with pytest.raises(IsADirectoryError, match="is a folder; pass the path of the file"):
            fetch(server, tmp_path)
        with pytest.raises(FileNotFoundError, match="missing does not exist"):
            fetch(server, tmp_path / "missing" / "fox.mp4")
    assert server.asked == []
