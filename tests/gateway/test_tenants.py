"""Client keys: made, taken apart, compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.tenants import CLIENT_SCOPES, TENANT, Key, Scope, digest_of, new_key, split_key


def counting(size: int) -> bytes:
    return bytes(range(size))


def test_a_new_key_is_an_id_and_a_secret_of_192_bits() -> None:
    key_id, secret, text = new_key(counting)
    assert text == f"vgw_{key_id}_{secret}"
    assert (len(bytes.fromhex(key_id)), len(bytes.fromhex(secret))) == (6, 24)
    assert split_key(text) == (key_id, secret)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text.upper(),
        lambda text: text.replace("vgw", "sk"),
        lambda text: text[:-1] + "g",
        lambda text: text[:-1] + "٣",
    ],
)
def test_a_text_that_only_resembles_a_key_is_none(change: object) -> None:
    assert callable(change)
    assert split_key(change(new_key(counting)[2])) is None


def test_a_key_matches_only_its_own_secret() -> None:
    key_id, secret, _ = new_key(counting)
    key = Key(key_id, "acme", frozenset(CLIENT_SCOPES), digest_of(secret), "ci", 1)
    assert key.matches(secret)
    assert not key.matches(secret[::-1])
    assert not key.matches("")
    assert not key.matches(digest_of(secret))


def test_a_revoked_key_matches_nothing() -> None:
    key_id, secret, _ = new_key(counting)
    key = Key(key_id, "acme", frozenset(CLIENT_SCOPES), digest_of(secret), "ci", 1)
    assert not replace(key, revoked_at=2).matches(secret)


def test_the_stored_form_does_not_contain_the_secret() -> None:
    key_id, secret, _ = new_key(counting)
    key = Key(key_id, "acme", frozenset(), digest_of(secret), "ci", 1)
    assert secret not in repr(key)


def test_an_ordinary_client_has_no_operator_scope() -> None:
    assert {Scope.OPS_READ, Scope.OPS_WRITE}.isdisjoint(CLIENT_SCOPES)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("acme", True),
        ("team-7_eu", True),
        ("7", True),
        ("a" * 32, True),
        ("a" * 33, False),
        ("", False),
        ("Acme", False),
        ("-a", False),
        ("a.b", False),
        ("a|b", False),
        ("acme\n", False),
    ],
)
def test_a_tenant_s_name_is_short_and_plain(name: str, good: bool) -> None:
    assert bool(TENANT.match(name)) is good
