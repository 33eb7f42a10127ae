"""Callbacks while Redis is away: written down and acknowledged, or asked to come again; never lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from gateway.callbacks import tokens
from gateway.callbacks.journal import replay_once
from gateway.environment import Environment
from gateway.local.valkey import valkey
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.web.state import State
from tests.gateway.web.api.calling_back import COMPLETED
from tests.gateway.web.conftest import connected, serving

JOB_ID = Environment().new_job_id()


def token_of(settings: Settings) -> str:
    return tokens.make(settings.keyring(), "acme", JOB_ID, 1)


@pytest.fixture
def redis_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "valkey"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(settings: Settings, tmp_path: Path, redis_folder: Path) -> Settings:
    """With a journal, and a Redis that is not there yet."""
    return settings.model_copy(
        update={
            "redis_url": f"unix://{redis_folder.resolve()}/valkey.sock",
            "callback_journal_dir": tmp_path / "journal",
        }
    )


async def post(client: httpx.AsyncClient, settings: Settings) -> httpx.Response:
    return await client.post(f"/callbacks/{token_of(settings)}", json=COMPLETED)


async def test_without_a_journal_it_is_asked_to_come_again(settings: Settings) -> None:
    bare = settings.model_copy(update={"callback_journal_dir": None})
    async with serving(bare) as app, connected(app) as nobody:
        answer = await post(nobody, settings)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_with_a_journal_it_is_acknowledged_and_reaches_redis_when_that_is_back(
    settings: Settings, redis_folder: Path
) -> None:
    async with serving(settings) as app, connected(app) as nobody:
        state: State = app.state.gateway
        assert state.journal is not None
        assert (await post(nobody, settings)).status_code == 200
        assert state.request_counts.callbacks["journaled"] == 1
        with valkey(redis_folder):
            await replay_once(state.journal, state.resources.jobs)
            found = await state.resources.jobs.read(JOB_ID)
            assert found is not None
            assert found.task_id == "task-1"


async def test_a_disk_that_fails_is_503_and_logged(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fdatasync(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async with serving(settings) as app, connected(app) as nobody:
        with monkeypatch.context() as broken, capture_logs() as logged:
            broken.setattr(os, "fdatasync", fdatasync)
            answer = await post(nobody, settings)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "callback_journal_failed" in [entry["event"] for entry in logged]


async def test_a_forgery_is_not_written_down(settings: Settings) -> None:
    assert settings.callback_journal_dir is not None
    async with serving(settings) as app, connected(app) as nobody:
        answer = await nobody.post(f"/callbacks/{token_of(settings)[:-1]}", json=COMPLETED)
        assert os.listdir(settings.callback_journal_dir) == []
    assert answer.status_code == 404


async def test_a_signature_that_must_be_there_is_asked_for_although_redis_is_away(settings: Settings) -> None:
    strict = settings.model_copy(update={"callback_signature": "required"})
    async with serving(strict) as app, connected(app) as nobody:
        assert (await post(nobody, settings)).status_code == 401
        assert app.state.gateway.request_counts.callbacks["journaled"] == 1


async def test_neither_the_journal_nor_the_log_shows_the_token(settings: Settings) -> None:
    assert settings.callback_journal_dir is not None
    token = token_of(settings)
    async with serving(settings) as app, connected(app) as nobody:
        with capture_logs() as logged:
            assert (await nobody.post(f"/callbacks/{token}", content=token.encode())).status_code == 200
        written = b"".join(path.read_bytes() for path in journals(settings.callback_journal_dir))
    assert JOB_ID.encode() in written
    assert token not in repr(logged)
    assert token.encode() not in written


def journals(folder: Path) -> list[Path]:
    return list(folder.glob("*.jsonl"))


async def test_callbacks_go_to_redis_while_it_is_there(settings: Settings, redis_folder: Path) -> None:
    assert settings.callback_journal_dir is not None
    with valkey(redis_folder):
        async with serving(settings) as app, connected(app) as nobody:
            assert (await post(nobody, settings)).status_code == 200
            resources: Resources = app.state.gateway.resources
            assert await resources.jobs.read(JOB_ID) is not None
        assert os.listdir(settings.callback_journal_dir) == []
