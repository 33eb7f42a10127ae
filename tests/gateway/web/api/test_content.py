"""The files of a result at their stable address, by a key."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from gateway.assets import Asset, AssetState, Variant
from gateway.errors import MediaStoreUnavailable
from gateway.lifecycle import JobState
from gateway.media.folder import MARKER, FolderStore
from gateway.resources import Resources
from gateway.tenants import Scope
from gateway.web.state import State
from tests.gateway.web.api.copying import DAY_MS, UPSTREAM, VIDEO, completed, copied, put_asset, write
from tests.gateway.web.api.hearing import post
from tests.gateway.web.conftest import MakeKey, connected

ETAG = f'"{hashlib.sha256(VIDEO).hexdigest()}"'
PENDING = Asset(AssetState.PENDING, UPSTREAM)


def code(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, type and code of a problem that names exactly one fault."""
    problem = answer.json()
    [fault] = problem["errors"]
    return answer.status_code, problem["type"].rpartition("/")[2], fault["code"]


async def test_a_copy_is_served_whole(client: httpx.AsyncClient, resources: Resources) -> None:
    job = await copied(resources, await completed(resources))
    answer = await client.get(f"/v1/jobs/{job.id}/content")
    assert (answer.status_code, answer.content) == (200, VIDEO)
    wanted = {
        "content-type": "video/mp4",
        "content-length": str(len(VIDEO)),
        "content-disposition": f'inline; filename="{job.id}.mp4"',
        "etag": ETAG,
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
    assert {name: answer.headers[name] for name in wanted} == wanted


async def test_head_says_what_a_get_would_send_and_opens_nothing(
    client: httpx.AsyncClient, resources: Resources, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await copied(resources, await completed(resources))
    monkeypatch.setattr(FolderStore, "stream", None)
    answer = await client.head(f"/v1/jobs/{job.id}/content", headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert (answer.headers["content-length"], answer.headers["etag"]) == (str(len(VIDEO)), ETAG)


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=255000-", 255_000, 256_000),
        ("bytes=255990-999999", 255_990, 256_000),
        ("bytes=-10", 255_990, 256_000),
        ("bytes=-999999", 0, 256_000),
        ("BYTES=0-1", 0, 2),
    ],
)
async def test_a_range_is_served_as_a_part(
    client: httpx.AsyncClient, resources: Resources, wanted: str, start: int, end: int
) -> None:
    job = await copied(resources, await completed(resources))
    answer = await client.get(f"/v1/jobs/{job.id}/content", headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (206, VIDEO[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/256000"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("wanted", ["bytes=256000-", "bytes=256000-256001", "bytes=-0"])
async def test_a_range_beyond_the_end_is_refused_with_the_size(
    client: httpx.AsyncClient, resources: Resources, wanted: str
) -> None:
    job = await copied(resources, await completed(resources))
    answer = await client.get(f"/v1/jobs/{job.id}/content", headers={"Range": wanted})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */256000")
    assert answer.json()["type"] == "/docs/errors/range-not-satisfiable"


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=9-0"},
        {"Range": "bytes=0-1,4-5"},
        {"Range": "bytes=a-b"},
        {"Range": "items=0-1"},
        {"Range": "bytes=0-1", "If-Range": '"another"'},
        {"Range": "bytes=0-1", "If-Range": "Wed, 21 Oct 2026 07:28:00 GMT"},
        {"Range": "bytes=0-1", "If-Range": f"W/{ETAG}"},
    ],
)
async def test_a_range_that_cannot_be_understood_or_is_of_another_file_is_ignored(
    client: httpx.AsyncClient, resources: Resources, headers: dict[str, str]
) -> None:
    job = await copied(resources, await completed(resources))
    answer = await client.get(f"/v1/jobs/{job.id}/content", headers=headers)
    assert (answer.status_code, len(answer.content)) == (200, 256_000)


async def test_a_range_of_this_file_goes_on(client: httpx.AsyncClient, resources: Resources) -> None:
    job = await copied(resources, await completed(resources))
    headers = {"Range": "bytes=7-8", "If-Range": ETAG}
    answer = await client.get(f"/v1/jobs/{job.id}/content", headers=headers)
    assert (answer.status_code, answer.content) == (206, VIDEO[7:9])


@pytest.mark.parametrize("given", [ETAG, f"W/{ETAG}", f'"x", {ETAG}', "*"])
async def test_who_has_the_file_gets_no_bytes(
    client: httpx.AsyncClient, resources: Resources, given: str
) -> None:
    job = await copied(resources, await completed(resources))
    answer = await client.get(f"/v1/jobs/{job.id}/content", headers={"If-None-Match": given})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", ETAG)
    other = await client.get(f"/v1/jobs/{job.id}/content", headers={"If-None-Match": '"x"'})
    assert other.status_code == 200


async def test_each_variant_has_its_file_its_type_and_its_name(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job = await completed(resources, watermarked_url="https://up/w", cover_url="https://up/c")
    job = await copied(resources, job, Variant.COVER, b"picture")
    answer = await client.get(f"/v1/jobs/{job.id}/content?variant=cover&download=1")
    assert (answer.content, answer.headers["content-type"]) == (b"picture", "image/jpeg")
    assert answer.headers["content-disposition"] == f'attachment; filename="{job.id}-cover.jpg"'
    marked = await client.get(f"/v1/jobs/{job.id}/content?variant=watermarked")
    assert (marked.status_code, marked.headers["location"]) == (302, "https://up/w")


async def test_a_variant_that_there_is_not_is_refused_with_those_that_there_are(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job = await completed(resources, cover_url="https://up/c")
    answer = await client.get(f"/v1/jobs/{job.id}/content?variant=watermarked")
    assert code(answer) == (404, "variant-unavailable", "variant_unavailable")
    assert "it has video, cover" in answer.json()["detail"]
    unknown = await client.get(f"/v1/jobs/{job.id}/content?variant=sprite")
    assert (unknown.status_code, unknown.json()["errors"][0]["code"]) == (400, "not_one_of")


async def test_an_unfinished_job_has_no_result_yet(client: httpx.AsyncClient, resources: Resources) -> None:
    job = await post(resources)
    answer = await client.get(f"/v1/jobs/{job.id}/content")
    assert code(answer) == (404, "result-not-ready", "result_not_ready")
    assert answer.headers["retry-after"] == "5"


async def test_a_failed_job_has_no_result_and_never_will(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job = await write(resources, await post(resources), state=JobState.FAILED)
    answer = await client.get(f"/v1/jobs/{job.id}/content")
    assert code(answer) == (404, "variant-unavailable", "variant_unavailable")
    assert "retry-after" not in answer.headers
    assert "failed" in answer.json()["detail"]


@pytest.mark.parametrize(
    "asset",
    [
        None,
        PENDING,
        replace(PENDING, state=AssetState.FAILED, reason="too_large"),
        replace(PENDING, state=AssetState.EXPIRED, key="results/x/video.mp4", size=3),
    ],
    ids=["no mirror", "pending", "failed", "expired"],
)
async def test_without_a_copy_it_is_the_upstream_s_address(
    client: httpx.AsyncClient, resources: Resources, asset: Asset | None
) -> None:
    job = await completed(resources)
    if asset is not None:
        alive = replace(asset, dies_at=resources.environment.now_ms() + 60_000)
        job = await put_asset(resources, job, Variant.VIDEO, alive)
    answer = await client.get(f"/v1/jobs/{job.id}/content")
    assert (answer.status_code, answer.headers["location"]) == (302, UPSTREAM)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (AssetState.PENDING, "no copy of it"),
        (AssetState.FAILED, "could not be copied (too_large)"),
        (AssetState.EXPIRED, "deleted after its time"),
    ],
)
async def test_without_a_copy_and_with_a_dead_address_it_is_gone(
    client: httpx.AsyncClient, resources: Resources, state: AssetState, words: str
) -> None:
    dead = resources.environment.now_ms() - 1
    asset = Asset(state, UPSTREAM, dies_at=dead, reason="too_large")
    job = await put_asset(resources, await completed(resources), Variant.VIDEO, asset)
    answer = await client.get(f"/v1/jobs/{job.id}/content")
    assert code(answer) == (410, "result-gone", "result_gone")
    assert words in answer.json()["detail"]


async def test_a_cover_that_is_still_made_is_not_ready(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job = await completed(resources)
    job = await put_asset(resources, job, Variant.COVER, Asset(AssetState.PENDING))
    answer = await client.get(f"/v1/jobs/{job.id}/content?variant=cover")
    assert code(answer) == (404, "result-not-ready", "result_not_ready")


@pytest.mark.parametrize("address", ["javascript:alert(1)", "file:///etc/passwd", "//evil", "v.mp4"])
async def test_an_address_that_is_no_http_is_not_passed_on(
    client: httpx.AsyncClient, resources: Resources, address: str
) -> None:
    job = await completed(resources, url=address)
    answer = await client.get(f"/v1/jobs/{job.id}/content")
    assert answer.status_code == 410
    assert address not in str(answer.headers)


async def test_an_address_with_strange_characters_makes_no_header_of_its_own(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job = await completed(resources, url="https://up/ü\r\nSet-Cookie: a=b")
    answer = await client.get(f"/v1/jobs/{job.id}/content")
    assert answer.headers["location"] == "https://up/%C3%BC%0D%0ASet-Cookie:%20a=b"


@pytest.mark.parametrize("damage", ["missing", "shorter"])
async def test_a_copy_that_is_lost_or_damaged_is_replaced_by_the_upstream_s_address(
    client: httpx.AsyncClient,
    resources: Resources,
    settings_folder: Path,
    damage: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = await copied(resources, await completed(resources))
    file = settings_folder / f"results/{job.id}/video.mp4"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(VIDEO[:100])
    answer = await client.get(f"/v1/jobs/{job.id}/content")
    assert (answer.status_code, answer.headers["location"]) == (302, UPSTREAM)
    assert "content_missing" in capsys.readouterr().out


async def test_a_file_that_vanishes_between_two_reads_is_replaced_too(
    client: httpx.AsyncClient, resources: Resources, settings_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await copied(resources, await completed(resources))
    measure = FolderStore.size

    async def then_gone(store: FolderStore, key: str) -> int:
        found = await measure(store, key)
        (settings_folder / key).unlink()
        return found

    monkeypatch.setattr(FolderStore, "size", then_gone)
    answer = await client.get(f"/v1/jobs/{job.id}/content")
    assert (answer.status_code, answer.headers["location"]) == (302, UPSTREAM)


@pytest.mark.parametrize(("alive", "status"), [(True, 302), (False, 503)])
async def test_a_store_that_is_away_is_no_loss(
    client: httpx.AsyncClient, resources: Resources, settings_folder: Path, alive: bool, status: int
) -> None:
    """With a dead address the copy is all there is, and it will be back."""
    dies_at = resources.environment.now_ms() + (60_000 if alive else -1)
    job = await copied(resources, await completed(resources), dies_at=dies_at)
    (settings_folder / f"results/{job.id}/video.mp4").unlink()
    (settings_folder / MARKER).unlink()
    assert (await client.get(f"/v1/jobs/{job.id}/content")).status_code == status


async def test_an_outage_of_the_store_is_logged_once_and_never_as_a_loss(
    client: httpx.AsyncClient, resources: Resources, settings_folder: Path
) -> None:
    job = await copied(resources, await completed(resources))
    path, file = f"/v1/jobs/{job.id}/content", settings_folder / f"results/{job.id}/video.mp4"
    elsewhere, marker = settings_folder / "elsewhere", settings_folder / MARKER

    async def events() -> list[str]:
        """Of two requests, without those of the store itself."""
        with capture_logs() as logged:
            for _ in range(2):
                await client.get(path)
        seen = [(line["log_level"], line["event"]) for line in logged]
        return [f"{level} {event}" for level, event in seen if event.startswith("content_")]

    file.rename(elsewhere)
    marker.unlink()
    assert await events() == ["warning content_away"]
    assert await events() == []
    marker.touch()
    assert await events() == ["info content_back", "error content_missing", "error content_missing"]
    marker.unlink()
    assert await events() == ["warning content_away"]
    elsewhere.rename(file)
    assert await events() == ["info content_back"]


async def test_a_copy_in_a_bucket_is_a_redirect_to_a_signed_url(
    client: httpx.AsyncClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def sign(
        _: FolderStore, key: str, seconds: int, *, media_type: str, filename: str | None
    ) -> str | None:
        asked.append((key, seconds, media_type, filename))
        return "https://bucket.example.com/v?X-Amz-Signature=s"

    monkeypatch.setattr(FolderStore, "sign", sign)
    job = await copied(resources, await completed(resources))
    for query, filename in (("", None), ("&download=1", f"{job.id}.mp4")):
        answer = await client.get(f"/v1/jobs/{job.id}/content?variant=video{query}")
        assert answer.status_code == 302
        assert answer.headers["location"] == "https://bucket.example.com/v?X-Amz-Signature=s"
        assert asked[-1] == (f"results/{job.id}/video.mp4", 3600, "video/mp4", filename)


async def test_only_the_owner_s_keys_that_may_read_jobs_may_fetch(
    app: object,
    client: httpx.AsyncClient,
    stranger: httpx.AsyncClient,
    nobody: httpx.AsyncClient,
    resources: Resources,
    make_key: MakeKey,
) -> None:
    job = await copied(resources, await completed(resources))
    path = f"/v1/jobs/{job.id}/content"
    assert (await client.get(path)).status_code == 200
    assert (await stranger.get(path)).status_code == 404
    assert (await nobody.get(path)).status_code == 401
    async with connected(app, await make_key("acme", [Scope.JOBS_WRITE])) as writer:  # type: ignore[arg-type]
        assert (await writer.get(path)).status_code == 403
        assert (await writer.post(f"/v1/jobs/{job.id}/links", json={})).status_code == 403


async def test_the_owner_deletes_the_copies_and_gets_the_bytes_back(
    client: httpx.AsyncClient, resources: Resources, settings_folder: Path
) -> None:
    job = await completed(resources, cover_url="https://up/c")
    job = await copied(resources, job)
    job = await put_asset(resources, job, Variant.COVER, replace(PENDING, dies_at=2 * DAY_MS))
    other = await copied(resources, await completed(resources))
    usage = f"{{gw}}:tenant:{job.tenant}:usage"
    assert await resources.redis.hget(usage, "results") == str(2 * len(VIDEO))  # type: ignore[misc]
    for _ in range(2):
        answer = await client.delete(f"/v1/jobs/{job.id}/content")
        assert (answer.status_code, answer.content) == (204, b"")
        assert await resources.redis.hget(usage, "results") == str(len(VIDEO))  # type: ignore[misc]
    assert not (settings_folder / f"results/{job.id}/video.mp4").exists()
    shown = (await client.get(f"/v1/jobs/{job.id}")).json()["assets"]
    assert {name: (one["state"], one["reason"]) for name, one in shown.items()} == {
        "video": ("expired", "deleted_by_owner"),
        "cover": ("expired", "deleted_by_owner"),
    }
    for variant in ("video", "cover"):
        gone = await client.get(f"/v1/jobs/{job.id}/content?variant={variant}")
        assert code(gone) == (410, "result-gone", "result_gone")
    assert (await client.get(f"/v1/jobs/{other.id}/content")).content == VIDEO


async def test_a_job_without_copies_has_nothing_to_delete(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job = await completed(resources)
    assert (await client.delete(f"/v1/jobs/{job.id}/content")).status_code == 204
    assert (await client.get(f"/v1/jobs/{job.id}/content")).headers["location"] == UPSTREAM


async def test_only_the_owner_s_keys_that_may_write_jobs_may_delete(
    app: object,
    stranger: httpx.AsyncClient,
    resources: Resources,
    settings_folder: Path,
    make_key: MakeKey,
) -> None:
    job = await copied(resources, await completed(resources))
    assert (await stranger.delete(f"/v1/jobs/{job.id}/content")).status_code == 404
    async with connected(app, await make_key("acme", [Scope.JOBS_READ])) as reader:  # type: ignore[arg-type]
        assert (await reader.delete(f"/v1/jobs/{job.id}/content")).status_code == 403
    assert (settings_folder / f"results/{job.id}/video.mp4").exists()


async def test_a_copy_that_is_stored_meanwhile_is_deleted_too(
    client: httpx.AsyncClient, resources: Resources, settings_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await put_asset(resources, await completed(resources), Variant.VIDEO, PENDING)
    read = resources.jobs.read
    reads: list[str] = []

    async def then_stored(job_id: str) -> object:
        found = await read(job_id)
        reads.append(job_id)
        if len(reads) == 1:
            await copied(resources, job)
        return found

    monkeypatch.setattr("gateway.store.jobs.RedisJobStore.read", lambda _, job_id: then_stored(job_id))
    assert (await client.delete(f"/v1/jobs/{job.id}/content")).status_code == 204
    assert len(reads) == 3  # one by the helper
    assert not (settings_folder / f"results/{job.id}/video.mp4").exists()


async def test_a_store_that_is_away_keeps_the_copies_on_record(
    client: httpx.AsyncClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: FolderStore, key: str) -> None:
        raise MediaStoreUnavailable(f"{key} cannot be removed")

    job = await copied(resources, await completed(resources))
    monkeypatch.setattr(FolderStore, "drop", away)
    assert (await client.delete(f"/v1/jobs/{job.id}/content")).status_code == 503
    assert (await client.get(f"/v1/jobs/{job.id}/content")).status_code == 200
