"""What only a bucket can do wrong: it is away, hangs, refuses us, or is another one."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import traceback
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.errors import ConfigurationError, MediaStoreUnavailable, NotFound
from gateway.media import bucket as bucket_module
from gateway.media import scratch
from gateway.media.base import MediaStore
from gateway.media.bucket import MARKER, BucketStore
from gateway.media.location import Bucket, location_of
from gateway.media.opening import open_store
from tests.buckets import S3Server
from tests.processes import free_port

KEY = "results/job_1/video.mp4"


def calls(store: MediaStore) -> dict[str, Callable[[], Awaitable[object]]]:
    """Each call that needs the bucket."""
    path = store.scratch / "upload"
    path.write_bytes(b"x")
    return {
        "put": lambda: store.put(KEY, b"x"),
        "put_file": lambda: store.put_file(KEY, path),
        "read": lambda: store.read(KEY),
        "stream": lambda: anext(store.stream(KEY)),
        "size": lambda: store.size(KEY),
        "drop": lambda: store.drop("job_1"),
        "entries": lambda: store.entries(""),
        "probe": store.probe,
    }


CALLS = ("put", "put_file", "read", "stream", "size", "drop", "entries", "probe")


async def refused(store: MediaStore, call: str) -> str:
    """What the error says. No part of it, nor of its trace, holds a secret or an address."""
    with pytest.raises(MediaStoreUnavailable) as caught:
        await calls(store)[call]()
    shown = "".join(traceback.format_exception(caught.value))
    assert "canary" not in shown
    assert "127.0.0.1" not in shown
    return str(caught.value)


@contextmanager
def hanging() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("call", CALLS)
async def test_a_bucket_that_is_away_is_unavailable(
    bucket: Bucket, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    assert "no connection to the bucket" in await refused(open_store(bucket), call)


@pytest.mark.parametrize("call", CALLS)
async def test_a_bucket_that_hangs_is_unavailable(
    bucket: Bucket, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bucket_module._ANSWER_SECONDS <= 2
    monkeypatch.setattr(bucket_module, "_ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(bucket_module, "_PIECE_SECONDS", 0.1)
    with hanging() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert "did not answer in time" in await refused(open_store(bucket), call)


@pytest.mark.parametrize("call", CALLS)
async def test_wrong_credentials_are_an_outage_and_not_a_lost_file(
    bucket: Bucket, s3: S3Server, call: str
) -> None:
    store = open_store(bucket)
    await store.put(KEY, b"x")
    with s3.strict():
        said = await refused(open_store(bucket), call)
    assert "403" in said
    assert await store.read(KEY) == b"x"


async def test_without_credentials_the_way_out_is_named(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    assert "set AWS_ACCESS_KEY_ID" in await refused(open_store(bucket), "probe")


async def test_a_role_that_gives_no_credentials_is_named(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    token = _written(tmp_path / "token", b"token-canary")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/media")
    monkeypatch.setenv("AWS_STS_ENDPOINT", f"https://127.0.0.1:{free_port()}")
    assert "the credentials of the role" in await refused(open_store(bucket), "probe")


@pytest.mark.parametrize("call", [call for call in CALLS if call != "size"])
async def test_a_bucket_that_does_not_exist_is_an_outage(bucket: Bucket, call: str) -> None:
    said = await refused(open_store(Bucket("never-made", "a")), call)
    assert "NoSuchBucket" in said or "the bucket does not exist" in said


async def test_a_wrong_bucket_or_prefix_is_an_outage_and_not_a_lost_file(
    bucket: Bucket, s3: S3Server
) -> None:
    await open_store(bucket).put(KEY, b"x")
    for wrong in (Bucket(s3.new_bucket(), bucket.prefix), Bucket(bucket.name, "a"), Bucket("never-made", "")):
        store = open_store(wrong)
        for call in ("read", "size", "stream"):
            with capture_logs() as logged:
                said = await refused(store, call)
            if wrong.name != "never-made":
                assert "is not the gateway's" in said
                assert [line["event"] for line in logged] == ["media_bucket_missing"]
    with pytest.raises(NotFound):
        await open_store(bucket).read("results/job_1/none.mp4")


async def test_the_marker_is_written_anew_each_day_and_not_with_each_file(bucket: Bucket) -> None:
    now = 1_000.0
    store = BucketStore(bucket, monotonic=lambda: now)
    await store.put(KEY, b"x")
    for later, there in ((0.0, False), (86_000.0, False), (86_500.0, True)):
        await _delete(store, MARKER)
        now = 1_000.0 + later
        await store.put(KEY, b"x")
        if there:
            assert await store.size(KEY) == 1
            with pytest.raises(NotFound):
                await store.read("results/job_1/none.mp4")
        else:
            with pytest.raises(MediaStoreUnavailable):
                await store.read("results/job_1/none.mp4")


async def _delete(store: BucketStore, name: str) -> None:
    import obstore

    await obstore.delete_async(store._store, name)


async def test_a_signed_address_serves_the_object_with_its_type_and_name(bucket: Bucket) -> None:
    store = open_store(bucket)
    await store.put_file(KEY, _written(store.scratch / "a", b"video"))
    url = await store.sign(KEY, 60, media_type="video/mp4", filename=None)
    assert url is not None
    assert "X-Amz-Expires=60&" in url

    def fetch() -> tuple[bytes, str | None, str | None]:
        with urllib.request.urlopen(url, timeout=30) as answer:
            headers = answer.headers
            return answer.read(), headers["content-type"], headers["content-disposition"]

    found = await asyncio.to_thread(fetch)
    assert found == (b"video", "video/mp4", 'inline; filename="job_1-video.mp4"')


async def test_signing_needs_no_network_and_never_lasts_longer_than_s3_allows(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    store = open_store(bucket)
    url = await store.sign(KEY, 10**9, media_type="video/mp4", filename=None)
    assert url is not None
    assert "X-Amz-Expires=604800&" in url
    assert "secret-canary" not in url


async def test_what_was_not_stored_with_the_object_is_not_signed(bucket: Bucket) -> None:
    store = open_store(bucket)
    assert await store.sign(KEY, 60, media_type="text/html", filename=None) is None
    assert await store.sign(KEY, 60, media_type="video/mp4", filename="a.mp4") is None


def _written(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


_UPLOADER = """
import asyncio, sys
from pathlib import Path
from gateway.media.location import Bucket
from gateway.media.opening import open_store
asyncio.run(open_store(Bucket(sys.argv[1], "a/prefix")).put_file(sys.argv[2], Path(sys.argv[3])))
"""


@asynccontextmanager
async def stalling(url: str, after: int) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """The address of a proxy before `url` that passes on so many bytes of requests, then no more; and an
    event that says that this has happened."""
    stalled, passed, tasks = asyncio.Event(), 0, set[asyncio.Task[None]]()
    _, _, port = url.rpartition(":")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        nonlocal passed
        try:
            while piece := await reader.read(65_536):
                passed += len(piece) * counted
                if passed > after:
                    stalled.set()
                    await asyncio.Event().wait()
                writer.write(piece)
                await writer.drain()
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection("127.0.0.1", int(port))
        tasks.add(asyncio.create_task(relay(reader, behind[1], counted=True)))
        tasks.add(asyncio.create_task(relay(behind[0], writer, counted=False)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", stalled
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_kill_in_the_middle_of_a_large_file_leaves_no_object(
    bucket: Bucket, s3: S3Server, tmp_path: Path
) -> None:
    store = open_store(bucket)
    await store.put("results/job_2/video.mp4", b"x")
    path = _written(tmp_path / "large", os.urandom(24 * 2**20))
    async with stalling(s3.url, after=12 * 2**20) as (url, stalled):
        environment = {**os.environ, "AWS_ENDPOINT_URL": url}
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _UPLOADER, bucket.name, KEY, str(path)), env=environment
        )
        try:
            await asyncio.wait_for(stalled.wait(), 60)
        finally:
            child.kill()
            assert await child.wait() == -signal.SIGKILL
    with pytest.raises(NotFound):
        await store.read(KEY)
    assert await store.entries("results/job_1") == []
    await store.put_file(KEY, path)  # the next try is not hindered by the remains
    assert await store.size(KEY) == 24 * 2**20


async def test_a_caller_that_gives_up_stores_nothing(bucket: Bucket) -> None:
    store = open_store(bucket)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await store.put(KEY, b"x")
    assert await store.entries("") == []


def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gateway.media.bucket")
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'vidu-gateway\[s3\]'"):
        open_store(Bucket("media", ""))


def test_variables_that_make_no_sense_stop_the_start(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as half:
        half.delenv("AWS_ACCESS_KEY_ID")
        with pytest.raises(ConfigurationError, match="Missing AccessKeyId"):
            open_store(bucket)
    monkeypatch.setenv("AWS_SERVER_SIDE_ENCRYPTION", "canary")
    with pytest.raises(ConfigurationError, match="GATEWAY_MEDIA_URL: the AWS_") as caught:
        open_store(bucket)
    assert "canary" not in str(caught.value)


def test_a_scratch_folder_of_somebody_else_stops_the_start(bucket: Bucket) -> None:
    folder = scratch.private_folder()
    for mode in (0o755, 0o710):
        folder.chmod(mode)
        with pytest.raises(ConfigurationError, match="only this user"):
            open_store(bucket)
    folder.rmdir()
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)
    with pytest.raises(ConfigurationError, match="only this user"):
        open_store(bucket)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("file:///var/lib/media", Path("/var/lib/media")),
        ("file:///with%20space/", Path("/with space")),
        ("s3://media", Bucket("media", "")),
        ("s3://my.bucket-1/one/two/", Bucket("my.bucket-1", "one/two")),
    ],
)
def test_a_media_url_is_read(url: str, found: Path | Bucket) -> None:
    assert location_of(url) == found


@pytest.mark.parametrize(
    "url",
    [
        *("media", "/media", "file:media", "file://host/media", "file:///", "http://canary/x", "s3:/media"),
        *("s3://", "s3://ab", "s3://Media", "s3://me:canary@media", "s3://media?key=canary", "s3://media#x"),
        *("s3://media/..", "s3://media/a//b", "s3://media:9000/a", "s3://[canary", "s3://media/a/b/c/d/e"),
    ],
)
def test_another_media_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        location_of(url)
    assert "canary" not in str(caught.value)
