"""Accepting a job: the whole of it or nothing, and the same one for the same key."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.dispatch import Role
from gateway.errors import (
    BodyTooLarge,
    IdempotencyMismatch,
    InvalidRequest,
    LimitReached,
    MediaStoreUnavailable,
    Problem,
    StoreUnavailable,
)
from gateway.generation import Limits, inspection
from gateway.generation.media import InlineMedia
from gateway.generation.upstream_body import UPSTREAM_BODY_BYTES
from gateway.intake import Posted, checks
from gateway.intake.job_options import JobOptions
from gateway.jobs import Job
from gateway.lifecycle import JobState, OnUnknown
from gateway.resources import Resources
from gateway.store.base import Admission, AdmissionLimits
from gateway.store.jobs import RedisJobStore
from tests.gateway.generation.bodies import IMAGE, encoded
from tests.gateway.generation.media_samples import clip, data_uri, image
from tests.gateway.store.conftest import dispatched, store_parts

INLINE = data_uri("image/png", image("png"))


async def accept(resources: Resources, raw: bytes, key: str | None = None) -> tuple[Job, bool]:
    checked = await resources.intake.check(raw, "acme")
    posted = await resources.intake.accept(checked, "acme", key)
    return posted.job, posted.replayed


def files(resources: Resources) -> list[Path]:
    return [path for path in Path(resources.settings.blob_dir).rglob("*.*") if path.is_file() and path.suffix]


async def test_an_accepted_job_is_stored_as_it_was_answered_and_dispatched(resources: Resources) -> None:
    job, replayed = await accept(
        resources, encoded(payload="order 7", callback_url="https://c.example.com/x")
    )
    assert not replayed
    assert await resources.jobs.read(job.id) == job
    assert (job.state, job.tenant, job.callback_url) == (JobState.QUEUED, "acme", "https://c.example.com/x")
    assert await resources.jobs.payload(job) == "order 7"
    assert await dispatched(resources.redis, Role.SUBMIT) == [job.id]


async def test_the_client_s_payload_and_callback_url_are_not_sent_to_the_upstream(
    resources: Resources,
) -> None:
    job, _ = await accept(resources, encoded(payload="secret", callback_url="https://c.example.com/x"))
    assert set(job.params) == {"images", "prompt"}


@pytest.mark.parametrize(
    "same",
    [
        {"seed": 0},
        {"videos": []},
        {"videos": None},
        {"duration": 7.0},
    ],
)
async def test_a_request_with_the_same_meaning_is_a_replay(
    resources: Resources, same: dict[str, object]
) -> None:
    first, *_ = await accept(resources, encoded(duration=7), "k")
    body = {**json.loads(encoded(duration=7)), **same}
    turned = json.dumps(dict(reversed(body.items())), indent=1).encode()
    again, replayed = await accept(resources, turned, "k")
    assert (again.id, replayed) == (first.id, True)


@pytest.mark.parametrize(
    "other", [{"duration": 8}, {"seed": 1}, {"payload": "x"}, {"callback_url": "https://c.example.com/"}]
)
async def test_a_request_with_another_meaning_is_a_mismatch(
    resources: Resources, other: dict[str, object]
) -> None:
    await accept(resources, encoded(duration=7), "k")
    with pytest.raises(IdempotencyMismatch):
        await accept(resources, encoded(**{"duration": 7, **other}), "k")


async def test_a_body_that_is_too_large_for_the_upstream_is_refused_before_it_is_stored(
    resources: Resources,
) -> None:
    room = UPSTREAM_BODY_BYTES - 4096 - len(encoded(images=[IMAGE, IMAGE], meta_data=""))
    with pytest.raises(BodyTooLarge):
        await resources.intake.check(padded(room + 200, files=2), "acme")


async def test_a_file_that_no_body_can_hold_is_named_with_what_it_may_have(resources: Resources) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await resources.intake.check(padded(UPSTREAM_BODY_BYTES), "acme")
    [problem] = caught.value.problems
    assert (problem.param, problem.code) == ("images[0]", "media_too_large")
    assert "14990000 bytes" in problem.message


@pytest.mark.parametrize("size", [15_000_000, 14_990_000 * 4 // 3])
async def test_a_body_of_almost_that_size_is_accepted(resources: Resources, size: int) -> None:
    checked = await resources.intake.check(padded(size), "acme")
    assert len(checked.media) == 1


def padded(size: int, files: int = 1) -> bytes:
    """A good request whose inline pictures, with bytes behind their ends, weigh about `size` in the body."""
    raw = image("png")
    extra = size // files * 3 // 4 - len(raw)
    return encoded(images=[data_uri("image/png", raw + bytes(extra))] * files)


async def test_a_large_body_is_checked_while_the_loop_serves_others(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = threading.Event()
    checked = checks._parse

    def check(raw: bytes, limits: Limits, read: checks.Read) -> Any:
        assert served.wait(30)
        return checked(raw, limits, read)

    monkeypatch.setattr(checks, "_parse", check)
    checking = asyncio.create_task(resources.intake.check(encoded(payload="x" * 300_000), "acme"))
    await asyncio.sleep(0.01)
    served.set()
    assert (await checking).request.payload == "x" * 300_000


async def test_large_bodies_are_checked_one_at_a_time(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked, held = checks._parse, threading.Lock()

    def check(raw: bytes, limits: Limits, read: checks.Read) -> Any:
        assert held.acquire(blocking=False)
        time.sleep(0.01)
        held.release()
        return checked(raw, limits, read)

    monkeypatch.setattr(checks, "_parse", check)
    raw = encoded(payload="x" * 300_000)
    await asyncio.gather(*(resources.intake.check(raw, f"tenant-{number}") for number in range(4)))


async def test_a_small_body_with_media_does_not_wait_for_large_ones(resources: Resources) -> None:
    async with resources.intake.large_bodies.turn("another"):
        await accept(resources, encoded(images=[INLINE]), "k")


async def test_a_large_body_with_a_key_waits_for_one_turn_only(resources: Resources) -> None:
    raw, options = padded(400_000), JobOptions()
    checked = await resources.intake.check(raw, "acme", options)
    async with resources.intake.large_bodies.turn("another"):
        first = await resources.intake.accept(checked, "acme", "k", options)
    unkeyed = await resources.intake.check(raw, "acme")
    again = await resources.intake.accept(unkeyed, "acme", "k", options)
    assert (again.job.id, again.replayed) == (first.job.id, True)


async def test_warnings_are_stored_with_the_job(resources: Resources) -> None:
    job, _ = await accept(resources, encoded(prompt="a" * 2001))
    stored = await resources.jobs.read(job.id)
    assert stored is not None
    assert [warning["param"] for warning in stored.warnings] == ["prompt"]


async def test_an_inline_file_is_stored_outside_redis_under_a_reference(resources: Resources) -> None:
    job, _ = await accept(resources, encoded(images=[IMAGE, INLINE]))
    first, second = job.params["images"]
    assert first == IMAGE
    assert second.startswith(f"blob:{job.id}/")
    assert await resources.inline_files.read(second) == image("png")
    assert job.keeps_media
    assert "base64" not in str(await resources.redis.hgetall("{gw}:job:" + job.id))  # type: ignore[misc]


async def test_the_same_key_and_body_give_the_same_job_again(resources: Resources) -> None:
    raw = encoded(images=[INLINE])
    first, *_ = await accept(resources, raw, "key-1")
    kept = files(resources)
    second, replayed = await accept(resources, raw, "key-1")
    assert replayed
    assert second == first
    assert files(resources) == kept


async def test_a_replay_shows_the_current_job(resources: Resources) -> None:
    first, *_ = await accept(resources, encoded(), "key-1")
    await resources.settlement.cancel(first, [])
    second, replayed = await accept(resources, encoded(), "key-1")
    assert (second.id, second.state, replayed) == (first.id, JobState.CANCELED, True)


async def test_the_same_key_with_another_body_is_refused_and_leaves_no_file(resources: Resources) -> None:
    first, *_ = await accept(resources, encoded(), "key-1")
    with pytest.raises(IdempotencyMismatch) as refusal:
        await accept(resources, encoded(images=[INLINE]), "key-1")
    assert refusal.value.made == first.id
    assert files(resources) == []


async def test_without_a_key_the_same_body_is_another_job(resources: Resources) -> None:
    first, *_ = await accept(resources, encoded())
    second, replayed = await accept(resources, encoded())
    assert not replayed
    assert first.id != second.id


@pytest.mark.parametrize("sent", [{}, {"images": [INLINE]}], ids=["urls", "a file inside"])
async def test_a_request_that_was_sent_before_finds_its_job_without_a_key(
    resources: Resources, sent: dict[str, Any]
) -> None:
    intake, raw = resources.intake, encoded(**sent)

    async def post(number: int | None, raw: bytes = raw, key: str | None = None) -> Posted:
        options = JobOptions(door="openai", attempt=number)
        return await intake.accept(await intake.check(raw, "acme", options), "acme", key, options)

    first = await post(0)
    kept = files(resources)
    for number in (1, 2):
        again = await post(number)
        assert (again.job, again.replayed) == (first.job, True)
    assert files(resources) == kept
    assert not (await post(0)).replayed
    assert not (await post(None)).replayed
    assert not (await post(3, encoded(**sent, duration=7))).replayed
    assert not (await post(4, key="a key of its own")).replayed


async def test_a_key_is_never_stored_as_it_was_sent(resources: Resources) -> None:
    await accept(resources, encoded(), "k" * 255)
    names = [name for name in await resources.redis.keys("*") if "idempotency" in name]
    assert len(names) == 1
    assert "kkkk" not in names[0]


async def test_a_full_lane_is_refused_and_leaves_no_file(resources: Resources) -> None:
    full = replace(resources.intake, admission=AdmissionLimits(queue_max=0))
    with pytest.raises(LimitReached):
        await full.accept(await full.check(encoded(images=[INLINE]), "acme"), "acme", None)
    assert files(resources) == []
    assert await resources.redis.keys("*:job:*") == []


class LosingStore(RedisJobStore):
    """Accepts, and loses the answer."""

    async def accept(self, *args: Any, **options: Any) -> Admission:
        accepted = await super().accept(*args, **options)
        if options["check_only"]:
            return accepted
        raise StoreUnavailable("Redis does not answer")


async def test_files_stay_if_it_is_unknown_whether_the_job_was_accepted(resources: Resources) -> None:
    losing = LosingStore(*store_parts(resources))
    intake = replace(resources.intake, jobs=losing)
    raw = encoded(images=[INLINE])
    with pytest.raises(StoreUnavailable):
        await intake.accept(await intake.check(raw, "acme"), "acme", "key-1")
    job, replayed = await accept(resources, raw, "key-1")
    assert replayed
    assert await resources.inline_files.read(job.params["images"][0]) == image("png")


async def test_a_bad_body_stores_nothing(resources: Resources) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await accept(resources, encoded(prompt="", seed="5", images=[INLINE]))
    assert {problem.param for problem in refusal.value.problems} == {"prompt", "seed"}
    assert files(resources) == []
    assert await resources.redis.keys("*") == []


async def test_a_clip_that_is_too_long_is_refused_before_it_is_stored(resources: Resources) -> None:
    long = data_uri("video/mp4", clip(9.0))
    with pytest.raises(InvalidRequest) as refusal:
        await accept(resources, encoded(videos=[long]))
    assert [problem.param for problem in refusal.value.problems] == ["videos[0]"]
    assert files(resources) == []


def spans(job: Job) -> tuple[float, float]:
    """Seconds from acceptance to the start deadline and to the end."""
    assert job.start_by is not None
    assert job.end_by is not None
    return (job.start_by - job.created_at) / 1000, (job.end_by - job.created_at) / 1000


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (JobOptions(), (86_400, 93_600)),
        (JobOptions(start_seconds=60), (60, 93_600)),
        (JobOptions(total_seconds=60), (60, 60)),
        (JobOptions(start_seconds=600, total_seconds=60), (60, 60)),
        (JobOptions(start_seconds=200_000), (93_600, 93_600)),
    ],
)
async def test_a_job_has_the_deadlines_that_were_asked_for(
    resources: Resources, options: JobOptions, expected: tuple[float, float]
) -> None:
    intake = resources.intake
    job, *_ = await intake.accept(await intake.check(encoded(), "acme"), "acme", None, options)
    assert spans(job) == expected
    assert await resources.jobs.read(job.id) == job


async def test_an_off_peak_job_has_two_more_days(resources: Resources) -> None:
    intake = replace(resources.intake, limits=replace(resources.intake.limits, off_peak=True))
    checked = await intake.check(encoded(off_peak=True), "acme")
    job, *_ = await intake.accept(checked, "acme", None)
    assert spans(job) == (86_400, 93_600 + 180_000)
    asked, *_ = await intake.accept(checked, "acme", None, JobOptions(total_seconds=60))
    assert spans(asked) == (60, 60)


async def test_the_first_deadline_is_stored_with_the_job(resources: Resources) -> None:
    job, _ = await accept(resources, encoded())
    assert await resources.redis.zscore("{gw}:deadlines", job.id) == job.start_by


async def test_the_same_request_with_other_options_is_another(resources: Resources) -> None:
    intake = resources.intake
    checked, options = await intake.check(encoded(), "acme"), JobOptions(on_unknown=OnUnknown.MANUAL)
    first, *_ = await intake.accept(checked, "acme", "k", options)
    again, replayed, *_ = await intake.accept(checked, "acme", "k", options)
    assert (again.id, again.on_unknown, replayed) == (first.id, OnUnknown.MANUAL, True)
    with pytest.raises(IdempotencyMismatch):
        await intake.accept(checked, "acme", "k")


async def test_a_tenant_whose_jobs_use_too_many_bytes_waits_and_others_do_not(resources: Resources) -> None:
    small = replace(resources.intake, admission=AdmissionLimits(queue_max=10, bytes_max=35_000))
    raw = encoded(payload="x" * 10_000)
    await small.accept(await small.check(raw, "acme"), "acme", None)
    with pytest.raises(LimitReached, match="smaller payload"):
        await small.accept(await small.check(raw, "acme"), "acme", None)
    await small.accept(await small.check(raw, "acme"), "other", None)


async def test_a_job_with_media_that_is_refused_writes_no_file(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def put(*_: object) -> str:
        raise AssertionError("a file was written")

    raw = encoded(images=[INLINE])
    first, _ = await accept(resources, raw, "k")
    monkeypatch.setattr(type(resources.inline_files), "put", put)
    assert (await accept(resources, raw, "k"))[0].id == first.id
    for small in ({"queue_max": 0}, {"media_max": 10}, {"bytes_max": 10}, {"rate": 0.001, "burst": 0}):
        intake = replace(resources.intake, admission=AdmissionLimits(**{"queue_max": 10} | small))
        with pytest.raises(LimitReached):
            await intake.accept(await intake.check(raw, "acme"), "acme", None)


async def test_media_count_for_their_tenant_until_the_job_is_finished(resources: Resources) -> None:
    intake = replace(
        resources.intake, admission=AdmissionLimits(queue_max=10, media_max=len(image("png")) + 10)
    )
    checked = await intake.check(encoded(images=[INLINE]), "acme")
    job = (await intake.accept(checked, "acme", None)).job
    with pytest.raises(LimitReached, match="send media as URLs"):
        await intake.accept(checked, "acme", None)
    await intake.accept(checked, "other", None)
    await resources.settlement.cancel(job, [])
    await intake.accept(checked, "acme", None)


async def test_of_two_files_none_stays_when_the_second_cannot_be_written(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = type(resources.inline_files).put

    async def full_at_the_second(self: Any, job_id: str, raw: bytes, extension: str) -> str:
        if files(resources):
            raise MediaStoreUnavailable("no space left on the device")
        return await put(self, job_id, raw, extension)

    monkeypatch.setattr(type(resources.inline_files), "put", full_at_the_second)
    with pytest.raises(MediaStoreUnavailable):
        await accept(resources, encoded(images=[INLINE, data_uri("image/jpeg", image("jpeg"))]))
    assert files(resources) == []


async def test_a_replay_is_answered_although_its_second_copy_of_the_files_cannot_be_dropped(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two requests with one key at once: both files were written before either job was."""
    checked = await resources.intake.check(encoded(images=[INLINE]), "acme")
    first = await resources.intake.accept(checked, "acme", "order-1")
    accept_job = type(resources.jobs).accept

    async def not_there(self: Any, job: Job, *args: Any, check_only: bool = False, **more: Any) -> Admission:
        if check_only:
            return Admission(job.id, replayed=False)
        return await accept_job(self, job, *args, **more)

    async def away(*_: object) -> None:
        raise MediaStoreUnavailable("no connection")

    monkeypatch.setattr(type(resources.jobs), "accept", not_there)
    monkeypatch.setattr(type(resources.inline_files), "drop", away)
    again = await resources.intake.accept(checked, "acme", "order-1")
    assert (again.job.id, again.replayed) == (first.job.id, True)


async def test_clips_of_one_tenant_hold_up_no_other(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each inspection of the busy tenant lasts until the end of the test."""
    begun, end, both_busy = Counter[str](), asyncio.Event(), asyncio.Event()

    async def inspect(media: Sequence[InlineMedia]) -> list[Problem]:
        begun[media[0].extension] += 1
        if begun["mov"] == 2:
            both_busy.set()
        if media[0].extension == "mov":
            await end.wait()
        return []

    monkeypatch.setattr(inspection, "inspect", inspect)
    intake = resources.intake
    slow = encoded(videos=[data_uri("video/quicktime", clip(container="mov"))])
    busy = [asyncio.create_task(intake.check(slow, "acme")) for _ in range(16)]
    other = asyncio.create_task(intake.check(encoded(videos=[data_uri("video/mp4", clip())]), "other"))
    for_both = asyncio.create_task(both_busy.wait())
    await asyncio.wait([other, for_both], return_when=asyncio.FIRST_COMPLETED, timeout=30)
    assert begun == {"mov": 1, "mp4": 1}
    refused = [task.exception() for task in busy if task.done()]
    assert len(refused) == 7  # one is inspected, eight wait
    assert all(isinstance(error, LimitReached) for error in refused)
    end.set()
    await asyncio.gather(*busy, return_exceptions=True)
    assert begun["mov"] == 9
