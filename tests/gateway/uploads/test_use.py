"""Jobs that name uploads: whose they are, what they are, and how they reach the upstream."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import IdempotencyMismatch, InvalidRequest, Problem
from gateway.intake import Intake, Posted
from gateway.intake.job_options import JobOptions
from gateway.jobs import Job
from gateway.media.links import MediaLinks, media_token
from gateway.resources import Resources
from gateway.store.base import Admission
from gateway.uploads import Upload
from gateway.uploads.use import UsesOfUploads
from tests.gateway.generation.bodies import CLIP, encoded
from tests.gateway.generation.media_samples import data_uri, image
from tests.gateway.store.test_uploads import end_life, new_upload

PUBLIC = "http://127.0.0.1:8080"
UNTIL = 2_000_000_000


async def stored(
    resources: Resources, tenant: str = "acme", extension: str = "png", content: str = "a", **fields: object
) -> Upload:
    upload = replace(new_upload(tenant, content=content, extension=extension), **fields)  # type: ignore[arg-type]
    return (await resources.uploads.add(upload)).upload


def address(resources: Resources, upload: Upload, base: str = PUBLIC) -> str:
    return resources.media_links.address(base, upload.id, UNTIL)


async def post(
    resources: Resources, key: str | None = None, intake: Intake | None = None, **body: object
) -> Posted:
    intake = intake or resources.intake
    checked = await intake.check(encoded(**body), "acme", JobOptions() if key else None)
    return await intake.accept(checked, "acme", key)


async def problems(resources: Resources, intake: Intake | None = None, **body: object) -> list[Problem]:
    """Those of a new job, with and without a key, and of a check, are the same."""
    found = []
    for key in (None, "k"):
        with pytest.raises(InvalidRequest) as caught:
            await post(resources, key, intake, **body)
        found.append(list(caught.value.problems))
    assert found[0] == found[1]
    assert not await resources.redis.keys("{gw}:job:*")
    return found[0]


async def test_a_job_stores_which_uploads_it_holds(resources: Resources) -> None:
    upload, other = await stored(resources), await stored(resources, content="b", extension="webp")
    images = [upload.id, "https://cdn.example.com/a.png", address(resources, other), upload.id]
    job = (await post(resources, images=images)).job
    read = await resources.jobs.read(job.id)
    assert read == job
    assert job.params["images"] == [
        f"upload:{upload.id}.png",
        "https://cdn.example.com/a.png",
        f"upload:{other.id}.webp",
        f"upload:{upload.id}.png",
    ]
    assert job.uploads == [upload.id, other.id]
    pins = await resources.uploads.read(job.uploads)
    assert [one.pins for one in pins.values()] == [1, 1]


async def test_uploads_go_together_with_files_inside_the_request(resources: Resources) -> None:
    upload = await stored(resources)
    job = (await post(resources, images=[data_uri("image/png", image()), upload.id])).job
    assert job.params["images"][0].startswith("blob:")
    assert job.params["images"][1] == f"upload:{upload.id}.png"


async def test_an_upload_s_id_and_its_addresses_mean_the_same(resources: Resources) -> None:
    upload = await stored(resources)
    first = await post(resources, "k", images=[upload.id])
    other = f"{PUBLIC}/media/{media_token(resources.keyring, upload.id, 1)}"  # expired, but it names the same
    for reference in (address(resources, upload), other):
        again = await post(resources, "k", images=[reference])
        assert (again.job.id, again.replayed) == (first.job.id, True)
    second = await stored(resources, content="b")
    with pytest.raises(IdempotencyMismatch):
        await post(resources, "k", images=[second.id])


async def test_a_repeated_request_gets_its_job_although_its_upload_is_gone(resources: Resources) -> None:
    upload = await stored(resources)
    first = await post(resources, "k", images=[upload.id])
    await resources.uploads.delete(upload.id, "acme")
    again = await post(resources, "k", images=[upload.id])
    assert (again.job.id, again.replayed) == (first.job.id, True)


async def test_another_tenant_s_upload_is_as_unknown_as_any(resources: Resources) -> None:
    foreign, deleted = await stored(resources, "zeta"), await stored(resources, content="b")
    expired = await stored(resources, content="c")
    await resources.uploads.delete(deleted.id, "acme")
    await end_life(resources.redis, expired)
    names = [foreign.id, deleted.id, expired.id, "upl_" + "0" * 26, address(resources, foreign)]
    names += [address(resources, foreign)[:-1] + "?", f"{PUBLIC}/media/x"]
    found = await problems(resources, images=names)
    if len(found) != len(names):  # what is wrong in itself is shown first
        assert [one.param for one in found] == ["images[5]", "images[6]"]
        found += await problems(resources, images=names[:5])
    assert sorted(one.param for one in found) == [f"images[{at}]" for at in range(7)]
    assert {(one.code, one.message) for one in found} == {(found[0].code, found[0].message)}
    assert found[0].code == "unknown_upload"


async def test_what_only_looks_like_an_address_of_ours_is_any_url(resources: Resources) -> None:
    urls = ["https://cdn.example.com/media/x.png", f"{PUBLIC}/v1/media/x", "http://127.0.0.1:8081/media/x"]
    job = (await post(resources, images=urls)).job
    assert (job.params["images"], job.uploads) == (urls, [])


@pytest.mark.parametrize(
    ("base", "reference"),
    [
        ("https://gw.example.com", "https://GW.example.com:443/media/TOKEN"),
        ("https://gw.example.com/deep", "http://gw.example.com/deep/media/TOKEN"),
        ("http://gw.example.com:80", "http://gw.example.com/media/TOKEN"),
    ],
)
async def test_an_address_is_recognized_however_its_host_is_written(
    resources: Resources, base: str, reference: str
) -> None:
    token = media_token(resources.keyring, "upl_" + "0" * 26, UNTIL)
    links = MediaLinks(resources.keyring, ("https://other.example.com", base))
    assert links.upload_of(reference.replace("TOKEN", token)) == "upl_" + "0" * 26


async def test_an_upload_in_the_wrong_field_is_refused_with_the_right_one(resources: Resources) -> None:
    clip, picture = (
        await stored(resources, extension="mp4", seconds=3.0),
        await stored(resources, content="b"),
    )
    found = await problems(resources, images=[clip.id], videos=[picture.id])
    assert [(one.param, one.code) for one in found] == [
        ("images[0]", "upload_misplaced"),
        ("videos[0]", "upload_misplaced"),
    ]
    assert "put it into videos" in found[0].message


@pytest.mark.parametrize(
    ("seconds", "alone", "beside"),
    [(5.1, True, True), (5.2, True, False), (8.1, True, False), (8.2, False, False)],
)
async def test_the_length_of_a_clip_is_judged_with_the_number_of_clips(
    resources: Resources, seconds: float, alone: bool, beside: bool
) -> None:
    clip = await stored(resources, extension="mp4", seconds=seconds)
    for videos, good in (([clip.id], alone), ([clip.id, CLIP], beside)):
        if good:
            await post(resources, videos=videos)
            await resources.redis.delete(*await resources.redis.keys("{gw}:job:*"))
        else:
            [problem] = await problems(resources, videos=videos)
            assert (problem.param, problem.code) == ("videos[0]", "clip_too_long")


async def test_a_clip_that_nobody_inspected_is_accepted_with_a_warning(resources: Resources) -> None:
    clip = await stored(resources, extension="mp4")
    job = (await post(resources, videos=[clip.id])).job
    assert [warning["code"] for warning in job.warnings] == ["clip_not_inspected"]


async def test_without_a_public_url_only_what_fits_into_the_body_is_accepted(resources: Resources) -> None:
    hidden = replace(resources.intake, uploads=UsesOfUploads(resources.uploads))
    most = (20_000_000 - 5000) // 4 * 3
    small, large = (
        await stored(resources, size=most - 300),
        await stored(resources, size=most + 1000, content="b"),
    )
    job: Job = (await post(resources, None, hidden, images=[small.id])).job
    assert job.uploads == [small.id]
    await resources.redis.delete(f"{{gw}}:job:{job.id}")
    [problem] = await problems(resources, hidden, images=["https://cdn.example.com/a.png", large.id])
    assert (problem.param, problem.code) == ("images[1]", "upload_unreachable")
    assert "GATEWAY_PUBLIC_URL" in problem.message
    [problem] = await problems(resources, hidden, images=[small.id, small.id])
    assert problem.code == "upload_unreachable"
    assert (await post(resources, images=[large.id])).job.uploads == [large.id]


async def test_an_upload_that_goes_at_the_last_moment_refuses_the_job_and_leaves_no_file(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await stored(resources)
    accept = resources.jobs.accept

    async def late(*args: object, **named: object) -> Admission:
        if not named.get("check_only"):
            await resources.uploads.delete(upload.id, "acme")
        return await accept(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(resources.jobs, "accept", late)
    with pytest.raises(InvalidRequest) as caught:
        await post(resources, "k", images=[data_uri("image/png", image()), upload.id])
    assert [(one.param, one.code) for one in caught.value.problems] == [("images[1]", "unknown_upload")]
    entries = await resources.media.entries("")
    assert [entry.name for entry in entries if entry.name.startswith("job_")] == []
