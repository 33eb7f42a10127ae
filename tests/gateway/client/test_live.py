"""Both clients against the real service and its sandbox, with faults on."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.client import AsyncClient, Client, Job, errors, webhooks
from gateway.tenants import Scope
from tests.gateway.client.conftest import FOX, IMAGE, Service
from tests.gateway.commands.streaming import subscriber
from tests.processes import free_port
from tests.promises.faults.proxy import Weather

pytestmark = pytest.mark.processes


def large_picture() -> bytes:
    """A picture above 1 MB: much of it is a comment."""
    raw = FOX.read_bytes()
    comment = b"\xff\xfe\xff\xff" + bytes(65_533)
    return raw[:2] + comment * 17 + raw[2:]


def with_payload(client: Client, payload: str) -> list[Job]:
    """The jobs with this payload, which lists leave out."""
    return [job for one in client.jobs.list() if (job := client.jobs.get(one.id)).payload == payload]


def sleeping(client: Client, sleep: Callable[[float], None]) -> None:
    """Replaces what the client does instead of waiting before the next attempt."""
    client._blocking.sleep = sleep  # type: ignore[assignment]


@contextmanager
def paused(service: Service) -> Iterator[None]:
    with Client(service.url, service.operator) as operator:
        operator.request("POST", "/ops/api/pause", {"reason": "so that jobs wait"})
        try:
            yield
        finally:
            operator.request("POST", "/ops/api/resume")


def test_a_video_is_ordered_awaited_and_fetched(client: Client, tmp_path: Path) -> None:
    job = client.jobs.submit("the fox", [FOX, IMAGE], duration=4, payload="mine", priority="high")
    assert (job.payload, job.priority) == ("mine", "high")
    seen: list[Job] = []
    job = client.jobs.wait(job, progress=seen.append)
    assert job.status == "completed"
    assert seen[-1] == job
    assert job.video_url is not None
    assert job.created_at is not None
    assert job.created_at.tzinfo is not None
    while job.assets["video"].state == "pending":
        job = client.jobs.get(job)
    path = client.jobs.download(job, tmp_path / "fox.mp4")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == job.assets["video"].sha256
    link = client.jobs.link(job, seconds=60)
    with Client(client._target.url, key=False) as nobody:
        assert b"".join(nobody.stream(link.url)) == path.read_bytes()
    assert client.jobs.timeline(job).data[0].kind == "accepted"
    assert client.jobs.deliveries(job) == ()
    client.jobs.delete_content(job)
    with pytest.raises(errors.NotFound, match="410"):
        client.jobs.download(job, tmp_path / "again.mp4")
    with pytest.raises(errors.NotFound, match="has no watermarked"):
        client.jobs.download(job, tmp_path / "marked.mp4", variant="watermarked")


def test_the_asynchronous_client_does_the_same(service: Service, tmp_path: Path) -> None:
    async def ordered() -> bytes:
        async with AsyncClient(service.url, service.made.key) as client:
            job = await client.jobs.submit("the fox", [FOX.read_bytes()], idempotency_key="same")
            again = await client.jobs.submit(
                "the fox", [io.BytesIO(FOX.read_bytes())], idempotency_key="same"
            )
            assert again.id == job.id
            kinds = [event.type async for event in client.jobs.events(job)]
            assert kinds == ["job.queued", "job.submitted", "job.completed"]
            job = await client.jobs.wait(job, timeout=60)
            found = [one.id async for one in client.jobs.list(status="completed", page_size=1)]
            assert job.id in found
            assert [len(page.data) async for page in client.jobs.list(page_size=1).pages()] == [1] * len(
                found
            )
            return (await client.jobs.download(job, tmp_path / "fox.mp4")).read_bytes()

    assert b"ftyp" in asyncio.run(ordered())[:16]


def test_a_lost_answer_makes_one_job(service: Service, client: Client) -> None:
    with Client(service.by_line, service.made.key) as cut:
        waits: list[float] = []

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            service.line.set(Weather.PASS)

        sleeping(cut, sleep)
        service.line.set(Weather.RESET)  # the request arrives, the answer does not
        job = cut.jobs.submit("the fox", [IMAGE], payload="lost answer")
    assert len(waits) == 1
    assert [one.id for one in with_payload(client, "lost answer")] == [job.id]
    client.jobs.wait(job)
    assert service.made.charges()[job.id] == 1


def test_a_lost_answer_of_the_store_makes_one_job(service: Service, client: Client) -> None:
    other = f"http://127.0.0.1:{free_port()}"
    told = {
        "GATEWAY_PORT": other.rpartition(":")[2],
        "GATEWAY_CRASH_POINTS": "accept.after:1:lose_reply",
    }
    service.made.start("other", "gateway", probe=f"{other}/livez", more=told)
    with Client(other, service.made.key, retries=0) as once, pytest.raises(errors.Unavailable) as raised:
        once.jobs.submit("the fox", [IMAGE], payload="lost by the store", idempotency_key="k")
    assert raised.value.status == 503
    with Client(other, service.made.key) as again:
        job = again.jobs.submit("the fox", [IMAGE], payload="lost by the store", idempotency_key="k")
    assert [one.id for one in with_payload(client, "lost by the store")] == [job.id]


def test_a_failed_task_is_an_error_with_its_reason(client: Client) -> None:
    job = client.jobs.submit("the fox [[fault:failed_task=CreditInsufficient]]", [IMAGE])
    with pytest.raises(errors.JobFailed, match="CreditInsufficient") as raised:
        client.jobs.wait(job)
    assert raised.value.job.error is not None
    assert raised.value.job.error.code == "CreditInsufficient"
    assert raised.value.job.spend == "certain"
    assert job.id in [one.id for one in client.jobs.list(status="failed")]


def test_a_job_that_waits_can_be_canceled(service: Service, client: Client) -> None:
    with paused(service):
        job = client.jobs.submit("the fox", [IMAGE], wait=1)
        assert job.queue is not None
        with pytest.raises(errors.WaitTimeout) as late:
            client.jobs.wait(job, timeout=0.2)
        assert late.value.job.status == "queued"
        assert client.jobs.cancel(job).status == "canceled"
        assert client.jobs.cancel(job.id).status == "canceled"  # a repeat changes nothing
    with pytest.raises(errors.JobCanceled):
        client.jobs.wait(job.id)


def test_a_wait_survives_an_outage(service: Service) -> None:
    with paused(service), Client(service.by_line, service.made.key, retries=0) as cut:
        job = cut.jobs.submit("the fox", [IMAGE])
        service.line.set(Weather.REFUSE)
        waits: list[float] = []

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                service.line.set(Weather.PASS)
                with Client(service.url, service.made.key) as direct:
                    direct.jobs.cancel(job)

        sleeping(cut, sleep)
        with pytest.raises(errors.JobCanceled):
            cut.jobs.wait(job, timeout=None)
    assert len(waits) == 3


def test_a_stream_that_is_cut_goes_on_after_the_last_event(service: Service, client: Client) -> None:
    with Client(service.by_line, service.made.key) as cut:
        kinds: list[str] = []
        with paused(service):
            job = client.jobs.submit("the fox", [IMAGE])
            events = iter(cut.jobs.events(job))
            kinds.append(next(events).type)
        service.line.cut()
        kinds += [event.type for event in events]
    assert kinds == ["job.queued", "job.submitted", "job.completed"]


def test_a_large_file_is_uploaded_and_a_small_one_is_not(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(large_picture())
    sent: list[tuple[int, int | None]] = []
    job = client.jobs.submit("two", [path, FOX], progress=lambda done, size: sent.append((done, size)))
    assert sent[-1] == (path.stat().st_size, path.stat().st_size)
    (upload,) = client.uploads.list()
    assert upload.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    client.jobs.wait(job)
    with path.open("rb") as file:
        assert client.uploads.create(file).id == upload.id
    checked = client.jobs.check("again", [upload, upload.id])
    assert checked.valid
    assert client.uploads.get(upload.id).width == 1280
    client.uploads.delete(upload.id)
    with pytest.raises(errors.NotFound):
        client.uploads.get(upload.id)
    with pytest.raises(errors.InvalidRequest) as raised:
        client.jobs.submit("gone", [upload])
    assert raised.value.problems[0].code == "unknown_upload"


def test_a_bad_request_names_every_problem(client: Client) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        client.jobs.submit(" ", [IMAGE] * 8, duration=99, extra={"sed": 1})
    assert {one.param for one in raised.value.problems} == {"prompt", "images", "duration", "sed"}
    assert raised.value.code == "invalid-request"
    assert (raised.value.request_id or "").startswith("req_")


def test_keys_that_do_not_permit_it_are_told_apart(service: Service) -> None:
    with Client(service.url, f"vgw_{'0' * 12}_{'0' * 48}") as nobody, pytest.raises(errors.Unauthenticated):
        nobody.jobs.get("job_01M8S3NY63VSWVCBQFJXTTNEYW")
    reader = service.made.make_key("acme", [Scope.JOBS_READ])
    with Client(service.url, reader) as reads, pytest.raises(errors.Forbidden, match="jobs:write"):
        reads.jobs.submit("the fox", [IMAGE])
    with Client(service.url, reader) as reads, pytest.raises(errors.NotFound):
        reads.jobs.get("job_01M8S3NY63VSWVCBQFJXTTNEYW")


def test_a_tenant_above_its_rate_is_told_when_to_come_back(service: Service) -> None:
    key = service.made.make_key("slow")
    with Client(service.url, service.operator) as operator:
        operator.request("PATCH", "/ops/api/tenants/slow", {"rate": 0.05, "burst": 1})
    with Client(service.url, key) as slow:
        waits: list[float] = []
        sleeping(slow, waits.append)
        slow.jobs.submit("the fox", [IMAGE])
        with pytest.raises(errors.RateLimited) as raised:
            slow.jobs.submit("the fox", [IMAGE])
    assert raised.value.limit == "jobs"
    assert len(waits) == 2
    assert min(waits) >= (raised.value.retry_after or 99) > 1


def test_an_endpoint_hears_what_verifies_and_what_it_missed(service: Service, client: Client) -> None:
    since = datetime.now(UTC) - timedelta(minutes=1)
    with subscriber() as hearing:
        made = client.endpoints.create(
            hearing.url, events=["job.completed"], schedule=[1, 5], description="d"
        )
        assert made.secret is not None
        assert made.secret not in repr(made)
        assert client.endpoints.test(made.id).delivered
        turned = client.endpoints.rotate(made.id)
        assert turned.secret not in (None, made.secret)
        job = client.jobs.wait(client.jobs.submit("the fox", [IMAGE]))
        while not (done := [one for one in client.jobs.deliveries(job) if one.state == "delivered"]):
            pass
        headers, body = hearing.got[-1]
        for secret in (made.secret, str(turned.secret)):
            event = webhooks.verify(headers, body, secrets=[secret])
            assert event.job is not None
            assert (event.type, event.job.id) == ("job.completed", job.id)
            assert event.id == done[0].event["id"] == headers["webhook-id"]
        assert [one.id for one in client.deliveries.list(endpoint=made.id, state="delivered")] == [done[0].id]
        assert client.deliveries.get(done[0].id).log[-1]["outcome"] == "succeeded"
        assert client.deliveries.redeliver(done[0].id).trigger == "manual"
        disabled = client.endpoints.update(made.id, disabled=True, description="e", slots=None)
        assert (disabled.health.status, disabled.description) == ("disabled", "e")
        with pytest.raises(errors.Conflict):
            client.endpoints.recover(made.id, since)
        client.endpoints.update(made.id, disabled=False)
        recovery = client.endpoints.recover(made.id, since, states=["dead"])
        assert client.recoveries.get(recovery.id).total == 0
        assert [one.id for one in client.endpoints.recoveries(made.id)] == [recovery.id]
    assert made.id in [one.id for one in client.endpoints.list()]
    client.endpoints.delete(made.id)
    with pytest.raises(errors.NotFound):
        client.endpoints.get(made.id)


def test_any_other_operation_can_be_asked_for(service: Service, client: Client) -> None:
    assert client.request("GET", "/v1/jobs", query={"limit": 1})["object"] == "list"
    with Client(service.url, service.operator) as operator:
        assert operator.request("GET", "/ops/api/tenants")["data"]
        assert b"".join(operator.stream("/ops/api/audit.jsonl")).count(b"\n") > 0
