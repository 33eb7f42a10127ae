"""Callbacks that should be signed: a bad signature makes a poll due, and nothing else of it counts."""

from __future__ import annotations

from email.utils import formatdate

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from gateway.callbacks import tokens
from gateway.callbacks.signature import sign
from gateway.environment import Environment
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.store import keys
from gateway.store.base import Callback, CallbackOutcome
from gateway.web.state import State
from tests.gateway.web.api.calling_back import (
    COMPLETED,
    given_to_the_store,
    is_to_be_confirmed,
    path,
    state_of,
    submitting,
)

PREFIX = "/behind/a/proxy"
KEY = "key-that-made-the-tasks"


@pytest.fixture(params=["optional", "required"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(settings: Settings, mode: str) -> Settings:
    """Signatures are checked; the public URL has a path that a proxy takes away."""
    return settings.model_copy(
        update={
            "callback_signature": mode,
            "callback_signature_key": SecretStr(KEY),
            "public_url": f"https://gateway.example.com{PREFIX}",
        }
    )


@pytest.fixture
def taken(state: State, monkeypatch: pytest.MonkeyPatch) -> list[Callback]:
    return given_to_the_store(state, monkeypatch)


def signed(where: str, *, key: str = KEY, age: float = 0, nonce: str = "n-1") -> dict[str, str]:
    """The headers of a callback to the public URL of `where`."""
    date = formatdate(Environment().clock() - age, usegmt=True)
    covered = [(b"Date", date.encode()), (b"x-request-nonce", nonce.encode())]
    return {
        "Date": date,
        "x-request-nonce": nonce,
        "X-HMAC-SIGNED-HEADERS": "Date;x-request-nonce",
        "X-HMAC-ALGORITHM": "hmac-sha256",
        "X-HMAC-ACCESS-KEY": "vidu",
        "X-HMAC-SIGNATURE": sign(key.encode(), "POST", PREFIX + where, "", date.encode(), covered).decode(),
    }


async def test_a_signed_callback_counts(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, taken: list[Callback]
) -> None:
    job = await submitting(client, resources)
    where = path(resources, job)
    assert (await nobody.post(where, json=COMPLETED, headers=signed(where))).status_code == 200
    assert [(one.distrusted, one.nonce, one.raw) for one in taken] == [(False, "n-1", b"")]
    assert (await state_of(resources, job)).task_id == "task-1"


async def test_a_callback_with_a_wrong_signature_only_makes_a_poll_due(
    client: httpx.AsyncClient,
    nobody: httpx.AsyncClient,
    resources: Resources,
    taken: list[Callback],
    mode: str,
) -> None:
    job = await submitting(client, resources)
    where = path(resources, job)
    with capture_logs() as logged:
        answer = await nobody.post(where, json=COMPLETED, headers=signed(where, key="another"))
    assert answer.status_code == (401 if mode == "required" else 200)
    assert [(one.label, one.distrusted, one.task_id, one.terminal) for one in taken] == [
        ("distrusted", True, None, False)
    ]
    assert b'"task-1"' in taken[0].raw
    assert [(entry["event"], entry["reason"]) for entry in logged] == [("callback_distrusted", "wrong")]
    assert (await state_of(resources, job)).task_id is None
    assert await is_to_be_confirmed(resources, job)


async def test_of_a_callback_in_doubt_two_kib_are_kept(
    nobody: httpx.AsyncClient, resources: Resources, taken: list[Callback]
) -> None:
    token = tokens.make(resources.keyring, "acme", resources.environment.new_job_id(), 1)
    where = f"/callbacks/{token}"
    body = token.encode() + b"x" * 10_000
    await nobody.post(where, content=body, headers=signed(where, key="another"))
    assert [one.raw for one in taken] == [(b"[token]" + b"x" * 10_000)[:2048]]


async def test_a_callback_that_is_not_signed_counts_unless_it_must_be(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, mode: str
) -> None:
    job = await submitting(client, resources)
    answer = await nobody.post(path(resources, job), json=COMPLETED)
    task_id = (await state_of(resources, job)).task_id
    assert (answer.status_code, task_id) == ((401, None) if mode == "required" else (200, "task-1"))
    assert await is_to_be_confirmed(resources, job)


@pytest.mark.parametrize("age", [400, -400])
async def test_an_old_signature_is_200_and_only_makes_a_poll_due(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, age: int
) -> None:
    job = await submitting(client, resources)
    where = path(resources, job)
    with capture_logs() as logged:
        answer = await nobody.post(where, json=COMPLETED, headers=signed(where, age=age))
    assert answer.status_code == 200
    assert [entry["reason"] for entry in logged] == ["stale"]
    assert (await state_of(resources, job)).task_id is None
    assert await is_to_be_confirmed(resources, job)


async def test_a_signature_is_used_once(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, state: State
) -> None:
    job = await submitting(client, resources)
    where = path(resources, job)
    headers = signed(where)
    await nobody.post(where, json={"id": "task-1", "status": "in_progress"}, headers=headers)
    answer = await nobody.post(where, json={**COMPLETED, "id": "task-2"}, headers=headers)
    assert answer.status_code == 200
    assert state.request_counts.callbacks[CallbackOutcome.REPLAYED] == 1
    after = await state_of(resources, job)
    assert (after.task_id, after.earlier, after.called_back_at) == ("task-1", [], None)
    assert await is_to_be_confirmed(resources, job)


async def test_a_body_that_did_not_get_through_may_be_sent_again(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources
) -> None:
    job = await submitting(client, resources)
    where = path(resources, job)
    headers = signed(where)
    assert (await nobody.post(where, content=b'{"id": "ta', headers=headers)).status_code == 200
    assert (await nobody.post(where, content=b"x" * 300_000, headers=headers)).status_code == 413
    await nobody.post(where, json=COMPLETED, headers=headers)
    assert (await state_of(resources, job)).task_id == "task-1"


async def test_a_signature_of_another_jobs_address_is_wrong(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, taken: list[Callback]
) -> None:
    first, second = await submitting(client, resources), await submitting(client, resources)
    await nobody.post(path(resources, first), json=COMPLETED, headers=signed(path(resources, second)))
    assert [one.distrusted for one in taken] == [True]


async def test_a_bad_token_is_404_however_well_it_is_signed(nobody: httpx.AsyncClient) -> None:
    answer = await nobody.post("/callbacks/x", json=COMPLETED, headers=signed("/callbacks/x"))
    assert answer.status_code == 404


async def test_an_oversize_body_that_is_signed_wrong_is_evidence_too(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources, mode: str
) -> None:
    job = await submitting(client, resources)
    where = path(resources, job)
    answer = await nobody.post(where, content=b"x" * 300_000, headers=signed(where, key="another"))
    assert answer.status_code == (401 if mode == "required" else 413)
    assert await is_to_be_confirmed(resources, job)


async def test_no_token_is_ever_logged_or_answered(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient, resources: Resources
) -> None:
    job = await submitting(client, resources)
    where = path(resources, job)
    token = where.rpartition("/")[2]
    with capture_logs() as logged:
        answers = [
            await nobody.post(where, content=body, headers=headers)
            for body in (token.encode(), b'{"id": "t", "status": "x", "payload": "%b"}' % token.encode())
            for headers in (signed(where), signed(where, key="x"), signed(where, age=999), {})
        ]
    shown = repr(logged) + "".join(answer.text + repr(answer.headers) for answer in answers)
    assert len(logged) >= 4
    assert token.rpartition(".")[2] not in shown
    kept = [str(fields) for _, fields in await resources.redis.xrange(keys.QUARANTINE)]
    assert kept
    assert token.rpartition(".")[2] not in "".join(kept)
