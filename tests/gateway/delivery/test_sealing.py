"""Values of headers in Redis: encrypted, bound to their place, and readable as long as their key is there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.delivery import sealing
from gateway.endpoints import Endpoint, SealedHeaders
from gateway.errors import ConfigurationError
from gateway.keyring import Keyring

OLD = Keyring({"k0": b"0" * 32})
BOTH = Keyring({"k1": b"1" * 32, "k0": b"0" * 32})
NEW = Keyring({"k1": b"1" * 32})
ENDPOINT = Endpoint("ep_1", "acme", "https://a.example.com", (), "k0", 1)
HEADERS = {"X-Team": "video", "authorization": "Bearer of-ours"}


def test_what_was_sealed_is_read_again_and_not_to_be_seen() -> None:
    sealed = sealing.with_headers(OLD, ENDPOINT, HEADERS)
    assert sealing.headers_of(OLD, sealed) == HEADERS
    assert sealing.masked(sealed) == {"X-Team": "********", "authorization": "********"}
    assert sealed.sealed_headers is not None
    assert (sealed.headers, sealed.sealed_headers.kid) == ({}, "k0")
    assert "of-ours" not in repr(sealed)
    again = sealing.with_headers(OLD, ENDPOINT, HEADERS)
    assert again.sealed_headers != sealed.sealed_headers  # a nonce is never used twice


def test_no_headers_need_no_key() -> None:
    assert sealing.with_headers(OLD, ENDPOINT, {}) == ENDPOINT
    assert sealing.headers_of(NEW, ENDPOINT) == {}


def test_headers_whose_key_is_gone_are_a_configuration_error_that_names_it() -> None:
    sealed = sealing.with_headers(OLD, ENDPOINT, HEADERS)
    with pytest.raises(ConfigurationError, match="no key k0"):
        sealing.headers_of(NEW, sealed)
    assert sealing.renewed(NEW, sealed) == sealed


@pytest.mark.parametrize("change", ["another endpoint", "another name", "another value", "no base64", ""])
def test_a_value_counts_only_where_it_was_written(change: str) -> None:
    sealed = sealing.with_headers(OLD, ENDPOINT, {"a": "1"})
    assert sealed.sealed_headers is not None
    value = sealed.sealed_headers.values["a"]
    changed = {
        "another endpoint": replace(sealed, id="ep_2"),
        "another name": replace(sealed, sealed_headers=SealedHeaders("k0", {"b": value})),
        "another value": replace(sealed, sealed_headers=SealedHeaders("k0", {"a": value[4:]})),
        "no base64": replace(sealed, sealed_headers=SealedHeaders("k0", {"a": "?"})),
        "": replace(sealed, sealed_headers=SealedHeaders("k0", {"a": ""})),
    }[change]
    with pytest.raises(ConfigurationError, match="cannot be decrypted"):
        sealing.headers_of(OLD, changed)


def test_headers_in_clear_keep_working_and_are_sealed_at_the_next_write() -> None:
    clear = replace(ENDPOINT, headers=HEADERS)
    assert sealing.headers_of(BOTH, clear) == HEADERS
    assert sealing.masked(clear) == dict.fromkeys(HEADERS, "********")
    sealed = sealing.renewed(BOTH, clear)
    assert (sealed.headers, sealing.headers_of(NEW, sealed)) == ({}, HEADERS)
    assert sealing.renewed(BOTH, sealed) is sealed


def test_a_write_moves_headers_to_the_active_key() -> None:
    sealed = sealing.renewed(BOTH, sealing.with_headers(OLD, ENDPOINT, HEADERS))
    assert sealing.headers_of(NEW, sealed) == HEADERS


def test_headers_in_clear_beside_sealed_ones_are_newer() -> None:
    mixed = replace(sealing.with_headers(OLD, ENDPOINT, HEADERS), headers={"X-Team": "audio"})
    assert sealing.headers_of(OLD, mixed) == {"X-Team": "audio"}
    assert sealing.headers_of(OLD, sealing.renewed(OLD, mixed)) == {"X-Team": "audio"}
