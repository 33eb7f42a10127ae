"""Uploads in the store: who may use one, which jobs hold it, and when it goes."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from gateway.environment import Environment
from gateway.errors import LimitReached, NotFound
from gateway.jobs import Job
from gateway.lifecycle import JobEvent
from gateway.store.base import AdmissionLimits, Outcome
from gateway.store.jobs import RedisJobStore
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Transition
from gateway.store.uploads import RedisUploads
from gateway.uploads import IN_USE, Upload, UploadLimits
from tests.gateway.store.conftest import new_job
from tests.gateway.store.test_quotas import usage

LIFE_MS = 60_000
LIMITS = AdmissionLimits(queue_max=100)
ENVIRONMENT = Environment()


@pytest.fixture
def uploads(redis: Redis, scripts: Scripts) -> RedisUploads:
    return RedisUploads(redis, scripts, UploadLimits(1000, 3, LIFE_MS))


def new_upload(tenant: str = "acme", size: int = 100, content: str = "a", **fields: object) -> Upload:
    values: dict[str, object] = {
        "id": ENVIRONMENT.new_upload_id(),
        "tenant": tenant,
        "sha256": content * 64,
        "size": size,
        "extension": "mp4",
        "created_at": ENVIRONMENT.now_ms(),
    }
    return Upload(**{**values, **fields})  # type: ignore[arg-type]


async def now_ms(redis: Redis) -> int:
    seconds, microseconds = await redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


async def read(uploads: RedisUploads, upload: Upload) -> Upload:
    return (await uploads.read([upload.id]))[upload.id]


async def end_life(redis: Redis, upload: Upload) -> None:
    await redis.hset(f"{{gw}}:upload:{upload.id}", "expires_at", "1")  # type: ignore[misc]
    await redis.zadd("{gw}:uploads:expiry", {upload.id: 1}, xx=True)


async def accept(jobs: RedisJobStore, *held: Upload, idempotency: str | None = None) -> Job:
    job = new_job(uploads=[upload.id for upload in held], idempotency=idempotency)
    await jobs.accept(job, None, "fingerprint", LIMITS)
    return job


async def finish(jobs: RedisJobStore, job: Job) -> Outcome:
    return (await jobs.apply(job, Transition(JobEvent.CANCEL_REQUESTED))).outcome


async def test_an_upload_is_stored_as_it_was_given_and_counted_once(
    redis: Redis, uploads: RedisUploads
) -> None:
    upload = new_upload(width=640, height=360, seconds=2.5)
    await uploads.add(upload)
    stored, created = await uploads.add(upload)  # the first answer was lost
    assert created
    assert 0 < stored.expires_at - await now_ms(redis) <= LIFE_MS
    assert (stored.seconds, stored.width, stored.size, stored.key) == (
        2.5,
        640,
        100,
        f"uploads/{upload.id}.mp4",
    )
    assert await usage(redis) == {"uploads": 100, "upload_count": 1}


async def test_the_same_content_is_one_upload_of_each_tenant(redis: Redis, uploads: RedisUploads) -> None:
    first, second, other = new_upload(), new_upload(), new_upload("zeta")
    await uploads.add(first)
    await end_life(redis, first)
    stored, created = await uploads.add(second)
    assert (stored.id, created) == (first.id, False)
    assert stored.expires_at > await now_ms(redis)
    assert (await uploads.add(other)).created
    assert (await uploads.known("acme", "a" * 64, 10**9) or other).id == first.id
    assert await uploads.read([second.id]) == {}


async def test_bytes_and_number_of_a_tenant_are_limited(redis: Redis, uploads: RedisUploads) -> None:
    await uploads.add(new_upload(size=900))
    with pytest.raises(LimitReached) as caught:
        await uploads.add(new_upload(size=101, content="b"))
    assert caught.value.limit == "uploaded_bytes"
    with pytest.raises(LimitReached):
        await uploads.known("acme", "b" * 64, 101)
    assert await uploads.known("acme", "b" * 64, 100) is None
    await uploads.add(new_upload("zeta", size=1000))
    for content in "bc":
        await uploads.add(new_upload(size=1, content=content))
    with pytest.raises(LimitReached) as caught:
        await uploads.add(new_upload(size=1, content="d"))
    assert caught.value.limit == "stored_uploads"
    assert await usage(redis) == {"uploads": 902, "upload_count": 3}


async def test_a_job_holds_its_uploads_until_it_is_finished(
    redis: Redis, jobs: RedisJobStore, uploads: RedisUploads
) -> None:
    upload = (await uploads.add(new_upload())).upload
    job = await accept(jobs, upload)
    await jobs.accept(job, None, "fingerprint", LIMITS)  # its answer was lost
    assert (await read(uploads, upload)).pins == 1
    await end_life(redis, upload)
    assert await uploads.expired(10) == []
    assert await uploads.expire(upload.id) == IN_USE
    assert await uploads.forget(upload.id) is False
    assert await finish(jobs, job) is Outcome.MOVED
    assert await finish(jobs, job) is Outcome.ABSORBED
    left = await read(uploads, upload)
    assert (left.pins, left.retired_at) == (0, None)
    assert 0 < left.expires_at - await now_ms(redis) <= LIFE_MS  # its life starts anew
    assert await redis.zscore("{gw}:uploads:expiry", upload.id) == left.expires_at


async def test_an_upload_goes_after_the_last_of_its_jobs(
    redis: Redis, jobs: RedisJobStore, uploads: RedisUploads
) -> None:
    upload = (await uploads.add(new_upload())).upload
    first, second = await accept(jobs, upload), await accept(jobs, upload)
    assert await uploads.delete(upload.id, "acme") == IN_USE
    assert await uploads.delete(upload.id, "acme") is None
    with pytest.raises(NotFound):
        await accept(jobs, upload)
    await finish(jobs, first)
    assert await uploads.expired(10) == []
    assert await uploads.forget(upload.id) is False
    await finish(jobs, second)
    assert await uploads.expired(10) == [upload.id]
    assert await uploads.expire(upload.id) == "mp4"
    assert await uploads.forget(upload.id) is True
    assert await uploads.forget(upload.id) is False
    assert [key for key in await redis.keys("*") if "upload" in key] == []
    assert "uploads" not in await usage(redis)


@pytest.mark.parametrize("why", ["foreign", "unknown", "deleted", "expired"])
async def test_a_job_is_stored_whole_or_not_at_all(
    redis: Redis, jobs: RedisJobStore, uploads: RedisUploads, why: str
) -> None:
    good = (await uploads.add(new_upload())).upload
    bad = new_upload("zeta" if why == "foreign" else "acme", content="b")
    if why != "unknown":
        await uploads.add(bad)
    if why == "deleted":
        await uploads.delete(bad.id, "acme")
    if why == "expired":
        await end_life(redis, bad)
    job = new_job(uploads=[good.id, bad.id], idempotency="k")
    with pytest.raises(NotFound) as caught:
        await jobs.accept(job, None, "fingerprint", LIMITS)
    assert caught.value.name == bad.id
    assert await jobs.read(job.id) is None
    assert (await read(uploads, good)).pins == 0
    assert not await redis.exists("{gw}:tenant:acme:idempotency:k")


async def test_a_repeated_request_gets_its_job_although_the_upload_is_gone(
    jobs: RedisJobStore, uploads: RedisUploads
) -> None:
    upload = (await uploads.add(new_upload())).upload
    job = await accept(jobs, upload, idempotency="k")
    await uploads.delete(upload.id, "acme")
    again = new_job(uploads=[upload.id], idempotency="k")
    admission = await jobs.accept(again, None, "fingerprint", LIMITS)
    assert (admission.job_id, admission.replayed) == (job.id, True)


async def test_an_expired_upload_that_a_job_took_in_time_is_not_removed(
    redis: Redis, jobs: RedisJobStore, uploads: RedisUploads
) -> None:
    """The sweep read that it has expired, then it was used once more, then the sweep goes on."""
    upload = (await uploads.add(new_upload())).upload
    await end_life(redis, upload)
    [name] = await uploads.expired(10)
    await uploads.known("acme", upload.sha256, upload.size)
    await accept(jobs, upload)
    assert await uploads.expire(name) == IN_USE
    assert (await read(uploads, upload)).retired_at is None


async def test_a_job_and_a_sweep_at_once_never_leave_a_job_without_its_file(
    redis: Redis, jobs: RedisJobStore, uploads: RedisUploads
) -> None:
    for number in range(20):
        upload = (await uploads.add(new_upload(content=f"{number % 10}"))).upload
        job = new_job(uploads=[upload.id])
        accepted, retired = await asyncio.gather(
            jobs.accept(job, None, "", LIMITS), uploads.delete(upload.id, "acme"), return_exceptions=True
        )
        assert (retired == IN_USE) is not isinstance(accepted, NotFound)
        assert (await jobs.read(job.id) is None) is isinstance(accepted, NotFound)
        if not isinstance(accepted, NotFound):
            await finish(jobs, job)
        assert await uploads.expire(upload.id) == "mp4"
        assert await uploads.forget(upload.id)


async def test_a_job_without_uploads_has_no_field_for_them(redis: Redis, jobs: RedisJobStore) -> None:
    job = await accept(jobs)
    assert not await redis.hexists(f"{{gw}}:job:{job.id}", "uploads")  # type: ignore[misc]


async def test_a_page_shows_a_tenant_s_own(uploads: RedisUploads) -> None:
    made = [(await uploads.add(new_upload(content=content))).upload for content in "abc"]
    await uploads.add(new_upload("zeta"))
    await uploads.delete(made[1].id, "acme")
    found, more = await uploads.page("acme", None, 1)
    assert ([one.id for one in found], more) == ([made[2].id], True)
    found, more = await uploads.page("acme", found[0].id, 5)
    assert ([one.id for one in found], more) == ([made[0].id], False)
