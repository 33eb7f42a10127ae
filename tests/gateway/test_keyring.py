"""Named secrets, and what is derived from them."""

from __future__ import annotations

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigurationError
from gateway.keyring import Keyring

SECRET_1 = base64.b64encode(bytes(range(32))).decode()
SECRET_0 = base64.b64encode(bytes(range(40, 88))).decode()
TEXT = f"k1:{SECRET_1},k0:{SECRET_0}"


def test_the_first_key_is_the_active_one() -> None:
    ring = Keyring.parse(TEXT)
    assert ring.active_kid == "k1"
    assert "k0" in ring
    assert "k2" not in ring


def test_spaces_around_an_entry_are_ignored() -> None:
    assert Keyring.parse(f" k1:{SECRET_1} , k0:{SECRET_0} ").derive("k0", "x") == Keyring.parse(TEXT).derive(
        "k0", "x"
    )


def test_a_derived_key_is_an_hmac_over_parts_with_their_lengths() -> None:
    message = b"".join(
        len(part).to_bytes(8, "big") + part for part in (b"vidu-gateway keyring 1", b"purpose", b"\xff")
    )
    assert Keyring.parse(TEXT).derive("k1", "purpose", b"\xff") == hmac.digest(
        bytes(range(32)), message, "sha256"
    )


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_different_parts_give_different_keys(one: list[str], other: list[str]) -> None:
    ring = Keyring.parse(TEXT)
    assert (ring.derive("k1", *one) == ring.derive("k1", *other)) == (one == other)


def test_different_keys_derive_different_ones() -> None:
    ring = Keyring.parse(TEXT)
    assert ring.derive("k1", "purpose") != ring.derive("k0", "purpose")


def test_a_key_that_left_the_keyring_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="no key k9"):
        Keyring.parse(TEXT).derive("k9", "purpose")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        SECRET_1,
        "k1:",
        f":{SECRET_1}",
        f"K1:{SECRET_1}",
        f"k-1:{SECRET_1}",
        f"ninechars:{SECRET_1}",
        f"k1:{SECRET_1},",
        f"k1:{SECRET_1},k1:{SECRET_0}",
        f"k1:{SECRET_1[:-4]}",
        f"k1:{SECRET_1}!",
        f"k1:{SECRET_1[:-1]}",
        f"k1:{SECRET_1[:-2]}é=",
        f"{SECRET_1}:k1",
    ],
)
def test_a_bad_setting_is_refused_without_showing_a_secret(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Keyring.parse(text)
    assert SECRET_1[:8] not in str(caught.value)
    assert SECRET_1[:8] not in repr(caught.value.__cause__)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_keyring_shows_only_names() -> None:
    ring = Keyring.parse(TEXT)
    assert repr(ring) == str(ring) == "Keyring(k1, k0)"


def test_a_generated_key_can_be_put_in_front_of_the_old_ones() -> None:
    fresh = Keyring.generate(entropy=lambda n: bytes(range(n)))
    ring = Keyring.parse(f"{fresh},{TEXT}")
    assert ring.active_kid == "000102"
    assert ring.derive("k1", "x") == Keyring.parse(TEXT).derive("k1", "x")


def test_two_generated_keys_differ() -> None:
    assert Keyring.generate() != Keyring.generate()
