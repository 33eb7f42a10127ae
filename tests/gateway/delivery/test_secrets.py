"""Webhook secrets are derived, and so never stored."""

from __future__ import annotations

import base64

import pytest

from gateway.delivery.secrets import endpoint_secret, signing_secrets, tenant_secret
from gateway.endpoints import Endpoint, PreviousSecret
from gateway.errors import ConfigurationError
from gateway.keyring import Keyring

RING = Keyring.parse(
    ",".join(f"{kid}:{base64.b64encode(kid.encode() * 16).decode()}" for kid in ("k1", "k0"))
)


def test_a_secret_is_32_bytes_in_the_form_of_standard_webhooks() -> None:
    for secret in (endpoint_secret(RING, "k1", "ep_1", 1), tenant_secret(RING, "k1", "acme")):
        assert secret.startswith("whsec_")
        assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32


def test_a_secret_can_be_derived_again() -> None:
    assert endpoint_secret(RING, "k1", "ep_1", 1) == endpoint_secret(RING, "k1", "ep_1", 1)


def test_the_secret_depends_on_key_endpoint_version_and_purpose() -> None:
    secrets = {
        endpoint_secret(RING, "k1", "ep_1", 1),
        endpoint_secret(RING, "k0", "ep_1", 1),
        endpoint_secret(RING, "k1", "ep_2", 1),
        endpoint_secret(RING, "k1", "ep_1", 2),
        tenant_secret(RING, "k1", "ep_1"),
    }
    assert len(secrets) == 5


def endpoint(kid: str, *previous: PreviousSecret) -> Endpoint:
    return Endpoint("ep_1", "acme", "http://h/", (), kid, 0, version=3, previous=previous)


def test_during_a_rotation_the_current_secret_comes_before_those_still_valid() -> None:
    rotated = endpoint("k1", PreviousSecret("k1", 2, 2_000), PreviousSecret("k0", 1, 1_000))
    current, newer, older = (
        endpoint_secret(RING, kid, "ep_1", v) for kid, v in (("k1", 3), ("k1", 2), ("k0", 1))
    )
    assert signing_secrets(RING, rotated, 999) == [current, newer, older]
    assert signing_secrets(RING, rotated, 1_000) == [current, newer]
    assert signing_secrets(RING, rotated, 2_000) == [current]


def test_a_previous_secret_whose_key_is_gone_is_left_out() -> None:
    rotated = endpoint("k1", PreviousSecret("k9", 1, 2_000), PreviousSecret("k0", 2, 2_000))
    assert signing_secrets(RING, rotated, 0) == [
        endpoint_secret(RING, "k1", "ep_1", 3),
        endpoint_secret(RING, "k0", "ep_1", 2),
    ]


def test_without_the_key_of_the_current_secret_it_raises() -> None:
    with pytest.raises(ConfigurationError, match="k9"):
        signing_secrets(RING, endpoint("k9", PreviousSecret("k1", 2, 2_000)), 0)
