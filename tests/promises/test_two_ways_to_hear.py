"""P4: a stream and a webhook carry the same events of a job, in the same bytes."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.processes import ORDER, Machine, call
from tests.promises.conftest import eventually
from tests.promises.hooks import Hooks, listening

pytestmark = pytest.mark.processes


@pytest.fixture
def service(shared: Machine) -> Machine:
    return shared


LIFE = ["job.queued", "job.submitted", "job.completed"]


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with listening() as made:
        yield made


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    type: str
    data: bytes


def messages(stream: Iterator[bytes]) -> Iterator[Message]:
    """Those that carry an event; comments and the like are passed over."""
    fields: dict[bytes, bytes] = {}
    for line in stream:
        name, _, value = line.rstrip(b"\n").partition(b": ")
        if name:
            fields[name] = value
        elif b"event" in fields:
            yield Message(fields[b"id"].decode(), fields[b"event"].decode(), fields[b"data"])
            fields = {}
        else:
            fields = {}


def hear(service: Machine, path: str) -> Iterator[Message]:
    """Returns when the stream is open, so that nothing is missed from then on."""
    request = urllib.request.Request(
        f"{service.gateway}{path}", headers={"Authorization": f"Bearer {service.key}"}
    )
    answer = urllib.request.urlopen(request, timeout=30)

    def read() -> Iterator[Message]:
        with answer:
            yield from messages(answer)

    return read()


def until(kind: str, heard: Iterator[Message]) -> list[Message]:
    found = []
    for message in heard:
        found.append(message)
        if message.type == kind:
            break
    return found


def test_streams_and_webhooks_carry_the_same(service: Machine, hooks: Hooks) -> None:
    url = f"{service.gateway}/v1/endpoints"
    status, _, _ = call("POST", url, service.key, {"url": hooks.url("/all"), "events": ["*"]})
    assert status == 201
    service.start_sandbox(task_seconds="0.5")
    of_all = hear(service, "/v1/events")
    status, job, _ = call("POST", f"{service.gateway}/v1/jobs", service.key, {**ORDER, "payload": "视频 ✓"})
    assert status == 202
    streamed = until("job.completed", of_all)
    eventually(lambda: len(hooks.received("/all")) == len(LIFE))
    posted = {one.event["type"]: one for one in hooks.at("/all")}

    assert [one.type for one in streamed] == LIFE
    stem = job["id"].removeprefix("job_")
    for one in streamed:
        assert posted[one.type].event_id == f"evt_{stem}_{one.type.removeprefix('job.')}"
        assert posted[one.type].body == one.data
    # Whoever comes later gets the same, under the same ids, and that this was all.
    assert list(hear(service, f"/v1/jobs/{job['id']}/events")) == streamed
