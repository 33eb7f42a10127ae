"""The capability in a callback URL."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.callbacks.tokens import CallbackRef, make, verify
from gateway.keyring import Keyring

JOB = "job_01J9Z3K7Q8XN5V2B6M4T0RWYCD"
OTHER_JOB = "job_01J9Z3K7Q8XN5V2B6M4T0RWYCE"
NEW = "k1:" + base64.b64encode(b"n" * 32).decode()
OLD = "k0:" + base64.b64encode(b"o" * 32).decode()
RING = Keyring.parse(f"{NEW},{OLD}")
TOKEN = make(RING, "acme", JOB, 3)


def test_a_token_names_its_job_and_submission() -> None:
    assert verify(RING, TOKEN) == CallbackRef("k1", "acme", JOB, 3)


def test_a_token_is_safe_in_a_url_path() -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]+", TOKEN)
    assert TOKEN.startswith(f"k1.acme.{JOB}.3.")


def test_a_token_made_with_the_old_key_is_still_valid() -> None:
    assert verify(RING, make(Keyring.parse(OLD), "acme", JOB, 1)) == CallbackRef("k0", "acme", JOB, 1)


def test_a_token_whose_key_left_the_keyring_is_invalid() -> None:
    assert verify(Keyring.parse(OLD), TOKEN) is None


@pytest.mark.parametrize(
    ("part", "replacement"),
    [("k1", "k0"), ("acme", "evil"), (JOB, OTHER_JOB), (".3.", ".4."), (".3.", ".0.")],
)
def test_the_mac_is_bound_to_every_part(part: str, replacement: str) -> None:
    assert verify(RING, TOKEN.replace(part, replacement, 1)) is None


def test_the_account_is_named_unless_it_is_main_and_the_mac_is_bound_to_it() -> None:
    assert make(RING, "acme", JOB, 3, "main") == TOKEN
    token = make(RING, "acme", JOB, 3, "second")
    assert f".{JOB}.3~second." in token
    found = verify(RING, token)
    assert found is not None
    assert (found.epoch, found.account) == (3, "second")
    for forged in ("~third", "~main", "", "~"):
        assert verify(RING, token.replace("~second", forged)) is None
    assert verify(RING, TOKEN.replace(".3.", ".3~main.")) is None
    with pytest.raises(ValueError, match="account"):
        make(RING, "acme", JOB, 3, "Second")


@given(position=st.integers(0, len(TOKEN) - 1), character=st.characters())
def test_a_token_with_one_character_changed_is_refused(position: int, character: str) -> None:
    forged = TOKEN[:position] + character + TOKEN[position + 1 :]
    assert (verify(RING, forged) is not None) == (forged == TOKEN)


@pytest.mark.parametrize(
    "garbage",
    [
        *("", ".", "....", TOKEN + "\n", TOKEN + "=", " " + TOKEN, TOKEN[:-1], TOKEN + "A", TOKEN.lower()),
        *(TOKEN.replace(".3.", ".03."), TOKEN.replace(".3.", ".٣."), TOKEN.replace("acme", "Acme")),
        *(TOKEN[:-22] + "é" * 22, "\ud800" * 10, "a" * 1_000_000, f"k1.acme.{JOB}.{'9' * 200}.{TOKEN[-22:]}"),
    ],
)
def test_garbage_is_refused_without_an_exception(garbage: str) -> None:
    assert verify(RING, garbage) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    assert verify(RING, text) is None


@given(
    tenant=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True),
    job=st.from_regex(r"job_[0-9A-HJKMNP-TV-Z]{26}", fullmatch=True),
    epoch=st.integers(0, 9_999_999_999),
)
def test_every_token_that_is_made_can_be_verified(tenant: str, job: str, epoch: int) -> None:
    token = make(RING, tenant, job, epoch)
    assert verify(RING, token) == CallbackRef("k1", tenant, job, epoch)
    assert len(token) <= 106


@pytest.mark.parametrize(
    ("tenant", "job", "epoch"), [("A", JOB, 1), ("a.b", JOB, 1), ("acme", "job_1", 1), ("acme", JOB, -1)]
)
def test_a_token_that_could_not_be_verified_is_not_made(tenant: str, job: str, epoch: int) -> None:
    with pytest.raises(ValueError, match="does not have the form"):
        make(RING, tenant, job, epoch)
