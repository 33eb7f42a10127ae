"""Webhook secrets are derived, and so never stored."""

from __future__ import annotations

import base64

from gateway.delivery.secrets import endpoint_secret, tenant_secret
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


def test_key_endpoint_version_and_purpose_each_make_another_secret() -> None:
    secrets = {
        endpoint_secret(RING, "k1", "ep_1", 1),
        endpoint_secret(RING, "k0", "ep_1", 1),
        endpoint_secret(RING, "k1", "ep_2", 1),
        endpoint_secret(RING, "k1", "ep_1", 2),
        tenant_secret(RING, "k1", "ep_1"),
    }
    assert len(secrets) == 5
