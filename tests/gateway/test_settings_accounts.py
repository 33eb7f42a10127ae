"""Further accounts: every mistake is named with its account and its field, and no key is ever shown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.dispatch import AccountLimits, Role
from gateway.errors import ConfigurationError
from gateway.settings import Settings, load
from tests.conftest import KEYRING

CANARY = "key-canary-7"
SECOND = {"name": "second", "key": CANARY}
VARIABLE = "GATEWAY_UPSTREAM_ACCOUNTS"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("GATEWAY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GATEWAY_SECRET_KEYS", KEYRING)
    monkeypatch.setenv("GATEWAY_UPSTREAM_KEY", "key-of-main")


def given(monkeypatch: pytest.MonkeyPatch, value: Any) -> Settings:
    monkeypatch.setenv(VARIABLE, value if isinstance(value, str) else json.dumps(value))
    return load()


def test_without_further_accounts_there_is_main_with_what_is_set_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [main] = load().accounts()
    assert main.limits == AccountLimits("main", slots=5, weight=1, per_second=0)
    for name, value in {"SLOTS": "7", "WEIGHT": "3", "RATE": "0.5"}.items():
        monkeypatch.setenv(f"GATEWAY_UPSTREAM_{name}", value)
    [main] = load().accounts()
    assert main.limits == AccountLimits("main", slots=7, weight=3, per_second=0.5)
    assert main.key.get_secret_value() == "key-of-main"


def test_the_slots_of_all_accounts_are_the_role_s(monkeypatch: pytest.MonkeyPatch) -> None:
    third = {"name": "third", "key": "x", "weight": 100, "slots": 9, "rate": 2.5}
    settings = given(monkeypatch, [SECOND, third])
    submit = settings.roles()[Role.SUBMIT]
    assert submit.slots == 19
    assert submit.accounts == (
        AccountLimits("main", 5),
        AccountLimits("second", 5),
        AccountLimits("third", 9, 100, 2.5),
    )
    assert settings.account_key("third").get_secret_value() == "x"
    assert settings.account_key("gone").get_secret_value() == "key-of-main"


def test_the_list_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "accounts.json"
    file.write_text(json.dumps([SECOND]))
    assert [one.limits.name for one in given(monkeypatch, str(file)).accounts()] == ["main", "second"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("/no/such/file", "neither a JSON list nor a readable file"),
        ('[{"name": "second", "key": "key-canary-7"', "not JSON (line 1, column"),
        (SECOND, "must be a list of accounts"),
        ([CANARY], "account 1: must be an object with name, key, weight, slots, rate"),
        ([{"key": CANARY}], "account 1: name must be 1 to 32 of"),
        ([SECOND | {"name": "Second"}], "account 1: name must be"),
        ([SECOND | {"name": "main"}], "account main: this name is reserved for GATEWAY_UPSTREAM_KEY"),
        ([SECOND, {**SECOND, "key": "y"}], "account 2: name second is already used"),
        ([SECOND, {"name": "third", "key": CANARY}], "account third: has the same key as second"),
        ([{"name": "second"}], "account second: key is missing"),
        ([SECOND | {"key": 7}], "account second: key is missing"),
        ([SECOND | {"slot": 1}], "account second: slot is not a field; the fields are name, key"),
        ([SECOND | {"slots": 0}], "account second: slots must be a whole number from 1 to 100000"),
        ([SECOND | {"slots": True}], "account second: slots must be"),
        ([SECOND | {"weight": 101}], "account second: weight must be a whole number from 1 to 100"),
        ([SECOND | {"rate": -1}], "account second: rate must be submissions per second"),
        ([SECOND | {"rate": "1"}], "account second: rate must be"),
        ([{"name": f"a{n}", "key": f"k{n}"} for n in range(20)], "at most 20 accounts, main included"),
    ],
)
def test_what_is_wrong_is_named_and_no_key_is_shown(
    monkeypatch: pytest.MonkeyPatch, value: Any, words: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        given(monkeypatch, value)
    assert str(refused.value).startswith(f"{VARIABLE}: {words}")
    assert CANARY not in str(refused.value)


def test_keys_do_not_show_in_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch, [SECOND])
    assert CANARY not in f"{settings!r} {settings} {settings.accounts()!r}"
