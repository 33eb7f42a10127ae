"""Callbacks: a bad token costs nothing, a good one is always kept, and its body is but a hint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from gateway.callbacks import tokens
from gateway.dispatch import Role, Ticket
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.lifecycle import JobEvent, JobState
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.store import keys
from gateway.store.base import Callback
from gateway.store.effects import BindTask
from gateway.store.transitions import Transition
from gateway.web.state import State
from tests.gateway.web.api.calling_back import (
    COMPLETED,
    given_to_the_store,
    is_to_be_confirmed,
    path,
    state_of,
    submitting,
)
from tests.gateway.web.conftest import connected, serving, without_request_id


async def test_a_callback_that_overtakes_our_own_answer_makes_the_job_submitted(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources
) -> None:
    job = await submitting(client, resources)
    answer = await nobody.post(path(resources, job), json=COMPLETED)
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    after = await state_of(resources, job)
    assert (after.state, after.task_id) == (JobState.SUBMITTED, "task-1")
    assert after.output is None  # the body is a hint: the result is asked for
    assert await is_to_be_confirmed(resources, job)


async def test_the_slot_of_a_task_known_by_its_callback_alone_is_held(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources
) -> None:
    job = await submitting(client, resources)
    await nobody.post(path(resources, job), json=COMPLETED)
    lease = await resources.redis.zscore(keys.slots(Role.SUBMIT), str(submit_ticket(job)))
    assert lease == float("inf")


async def test_a_task_known_by_a_callback_in_progress_alone_is_polled(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources
) -> None:
    job = await submitting(client, resources)
    await nobody.post(path(resources, job), json={"id": "task-1", "status": "in_progress"})
    assert (await state_of(resources, job)).state is JobState.SUBMITTED
    assert not await is_to_be_confirmed(resources, job)
    due: Any = await resources.redis.zscore(keys.due(Role.CONFIRM), str(confirm_ticket(job)))
    assert due is not None


async def test_a_task_id_that_is_known_is_not_replaced(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources
) -> None:
    job = await submitting(client, resources)
    await resources.jobs.apply(job, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=[BindTask("ours")]))
    await nobody.post(path(resources, job), json={**COMPLETED, "id": "theirs"})
    assert (await state_of(resources, job)).task_id == "ours"
    assert await is_to_be_confirmed(resources, job)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not json",
        b"[" * 10_000,
        b'{"id": "1", "id": "2"}',
        b"\xff\xfe",
        orjson.dumps({"id": "v-1", "state": "success", "creations": []}),  # in another system's words
    ],
)
async def test_a_body_that_names_no_task_of_ours_is_evidence_all_the_same(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, raw: bytes
) -> None:
    job = await submitting(client, resources)
    assert (await nobody.post(path(resources, job), content=raw)).status_code == 200
    after = await state_of(resources, job)
    assert (after.state, after.task_id) == (JobState.SUBMITTING, None)
    assert await is_to_be_confirmed(resources, job)


@pytest.mark.parametrize("declared", [True, False])
async def test_an_oversize_body_is_413_and_evidence_all_the_same(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, declared: bool
) -> None:
    job = await submitting(client, resources)
    raw = b"x" * (256 * 1024 + 1)

    async def parts() -> AsyncIterator[bytes]:
        yield raw

    answer = await nobody.post(path(resources, job), content=raw if declared else parts())
    assert answer.status_code == 413
    assert await is_to_be_confirmed(resources, job)
    assert (await state_of(resources, job)).task_id is None


async def test_a_repeated_callback_changes_nothing(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources
) -> None:
    job = await submitting(client, resources)
    for _ in range(3):
        assert (await nobody.post(path(resources, job), json=COMPLETED)).status_code == 200
    assert await resources.redis.zcard(keys.slots(Role.CONFIRM)) == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (COMPLETED, {"label": "completed", "task_id": "task-1", "terminal": True}),
        ({"id": "t", "status": "failed"}, {"label": "failed", "task_id": "t", "terminal": True}),
        ({"id": "t", "status": "in_progress"}, {"label": "in_progress", "task_id": "t", "working": True}),
        ({"status": "completed"}, {"label": "completed", "terminal": True}),
        ({"id": "v", "state": "success", "creations": []}, {"label": "foreign", "terminal": True}),
        ({"id": "v", "state": "processing"}, {"label": "foreign", "working": True}),
    ],
)
async def test_the_store_gets_what_the_body_hints_at(
    nobody: httpx.AsyncClient,
    resources: Resources,
    state: State,
    monkeypatch: pytest.MonkeyPatch,
    body: dict[str, Any],
    expected: dict[str, Any],
) -> None:
    taken = given_to_the_store(state, monkeypatch)
    job_id = resources.environment.new_job_id()
    token = tokens.make(resources.keyring, "acme", job_id, 7)
    await nobody.post(f"/callbacks/{token}", json=body)
    assert taken == [Callback(job_id, "acme", 7, **expected)]


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b"7",
        b"{}",
        b'{"id": "1", "id": "2"}',
        b'{"id": {"id": "1"}, "status": ["completed"]}',
        b'{"id": NaN}',
    ],
)
async def test_a_body_that_cannot_be_read_is_kept_up_to_64_kib(
    nobody: httpx.AsyncClient,
    resources: Resources,
    state: State,
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
) -> None:
    taken = given_to_the_store(state, monkeypatch)
    token = tokens.make(resources.keyring, "acme", resources.environment.new_job_id(), 1)
    assert (await nobody.post(f"/callbacks/{token}", content=body)).status_code == 200
    assert [(one.label, one.task_id, one.raw) for one in taken] == [("unclear", None, body[: 64 * 1024])]


async def test_the_token_is_cut_out_of_what_is_kept(
    nobody: httpx.AsyncClient, resources: Resources, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = given_to_the_store(state, monkeypatch)
    token = tokens.make(resources.keyring, "acme", resources.environment.new_job_id(), 1)
    await nobody.post(f"/callbacks/{token}", content=b"?" * (64 * 1024 - 50) + token.encode())
    assert b"[token]" in taken[0].raw
    assert token.rpartition(".")[2][:8].encode() not in taken[0].raw


async def test_a_bad_token_is_a_uniform_404_without_redis_and_unread(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    keyring = settings.keyring()
    good = tokens.make(keyring, "acme", "job_" + "0" * 26, 1)

    async def parts() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async with serving(away) as app, connected(app) as nobody:
        answers = [
            await nobody.post(f"/callbacks/{token}", content=parts())
            for token in (
                f"{good[:-2]}{'AB'[good[-2] == 'A']}{good[-1]}",
                good + "x",
                "x",
                "%00",
                "a" * 5000,
                good.replace("acme", "evil"),
            )
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert len({without_request_id(answer) for answer in answers}) == 1
        assert good.encode() not in answers[0].content


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_only_a_post_is_a_callback(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, method: str
) -> None:
    job = await submitting(client, resources)
    assert (await nobody.request(method, path(resources, job))).status_code == 405
    assert not await is_to_be_confirmed(resources, job)


async def test_a_callback_while_redis_is_away_is_asked_to_come_again(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    token = tokens.make(settings.keyring(), "acme", "job_" + "0" * 26, 1)
    async with serving(away) as app, connected(app) as nobody:
        answer = await nobody.post(f"/callbacks/{token}", json=COMPLETED)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_callbacks_are_counted_by_what_they_said(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources
) -> None:
    job = await submitting(client, resources)
    await nobody.post(path(resources, job), json=COMPLETED)
    await nobody.post(path(resources, job), content=b"?")
    tally = (await resources.gauges.read()).tally
    assert (tally["callbacks|completed"], tally["callbacks|unclear"]) == (1, 1)


def test_tickets_of_a_callback_need_nothing_but_what_its_token_says() -> None:
    job = Job("job_" + "0" * 26, "acme", JobState.SUBMITTED, "", {}, 0)
    assert submit_ticket(job) == Ticket(Role.SUBMIT, "acme", job.id)
