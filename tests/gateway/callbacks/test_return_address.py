"""A callback says whom its job's result is for, and nobody else can read or make that."""

from __future__ import annotations

import base64

import pytest

from gateway.callbacks.return_address import ReturnAddress, seal, unseal
from gateway.keyring import Keyring

JOB = "job_01J9Z3K7Q8XN5V2B6M4T0RWYCD"
RING = Keyring.parse(
    "k1:" + base64.b64encode(b"n" * 32).decode() + ",k0:" + base64.b64encode(b"o" * 32).decode()
)
TO = ReturnAddress("https://client.example.com/hook?secret=s3cret", "vtrix")


@pytest.mark.parametrize("to", [TO, ReturnAddress("https://client.example.com/ü")])
def test_what_was_sealed_is_read_back(to: ReturnAddress) -> None:
    sealed = seal(RING, JOB, to)
    assert sealed
    assert unseal(RING, "k1", JOB, sealed) == to


def test_it_shows_nothing_and_is_safe_in_a_query() -> None:
    sealed = seal(RING, JOB, TO) or ""
    assert "client" not in sealed
    assert b"client" not in base64.urlsafe_b64decode(sealed + "==")
    assert set(sealed) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_another_job_another_key_or_another_text_is_not_read() -> None:
    sealed = seal(RING, JOB, TO) or ""
    assert unseal(RING, "k1", JOB[:-1] + "E", sealed) is None
    assert unseal(RING, "k0", JOB, sealed) is None
    for text in ("", "x", "%%%", "ü", sealed[:-2], sealed[:5] + "A" + sealed[6:], "A" * 5000):
        assert unseal(RING, "k1", JOB, text) is None


def test_a_url_that_would_make_the_callback_url_too_long_is_left_out() -> None:
    assert seal(RING, JOB, ReturnAddress("https://client.example.com/" + "x" * 1000)) is None
