"""Callbacks of a job that was sent with another account than `main`."""

from __future__ import annotations

from email.utils import formatdate

import httpx
import pytest
from pydantic import SecretStr

from gateway.callbacks import tokens
from gateway.callbacks.signature import sign
from gateway.environment import Environment
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.store.base import Callback
from gateway.web.state import State
from tests.gateway.web.api.calling_back import COMPLETED, given_to_the_store

SECOND_KEY = "second-key"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "callback_signature": "required",
            "public_url": "https://gateway.example.com",
            "upstream_accounts": SecretStr(f'[{{"name": "second", "key": "{SECOND_KEY}"}}]'),
        }
    )


@pytest.fixture
def taken(state: State, monkeypatch: pytest.MonkeyPatch) -> list[Callback]:
    return given_to_the_store(state, monkeypatch)


def signed(where: str, key: str) -> dict[str, str]:
    date = formatdate(Environment().clock(), usegmt=True)
    covered = [(b"Date", date.encode()), (b"x-request-nonce", b"n-1")]
    return {
        "Date": date,
        "x-request-nonce": "n-1",
        "X-HMAC-SIGNED-HEADERS": "Date;x-request-nonce",
        "X-HMAC-ALGORITHM": "hmac-sha256",
        "X-HMAC-ACCESS-KEY": "vidu",
        "X-HMAC-SIGNATURE": sign(key.encode(), "POST", where, "", date.encode(), covered).decode(),
    }


async def test_it_is_verified_with_the_key_of_the_account_that_its_token_names(
    nobody: httpx.AsyncClient, settings: Settings, resources: Resources, taken: list[Callback]
) -> None:
    name = resources.environment.new_job_id()
    where = f"/callbacks/{tokens.make(resources.keyring, 'acme', name, 1, 'second')}"
    main_key = settings.upstream_key.get_secret_value()
    answers = [
        await nobody.post(where, json=COMPLETED, headers=signed(where, key)) for key in (SECOND_KEY, main_key)
    ]
    assert [answer.status_code for answer in answers] == [200, 401]
    assert [(one.job_id, one.account, one.distrusted) for one in taken] == [
        (name, "second", False),
        (name, "second", True),
    ]
