"""What the command line writes into a replicated store counts when a replica has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.commands import keys, tenants
from gateway.errors import ConfigurationError, StoreUnavailable
from gateway.keyring import Keyring
from gateway.tenants import Scope
from tests.replicated import replicate, servers

RING = Keyring.parse(Keyring.generate())


def test_a_key_or_a_limit_that_no_replica_has_is_not_reported_as_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DURABILITY", "replicated")
    with servers(tmp_path) as made:
        primary = made.start()
        url = f"redis://127.0.0.1:{primary}"
        with pytest.raises(StoreUnavailable, match="0 of 1"):
            keys.create(url, RING, "acme", (Scope.JOBS_READ,), "acme")
        with pytest.raises(StoreUnavailable, match="0 of 1"):
            tenants.change(url, "acme", {"queue_max": 5})
        replicate(made, primary)
        assert keys.create(url, RING, "acme", (Scope.JOBS_READ,), "acme").key
        assert tenants.change(url, "acme", {"queue_max": 5}).queue_max == 5
        monkeypatch.setenv("GATEWAY_REPLICAS_ACK", "two")
        with pytest.raises(ConfigurationError, match="GATEWAY_REPLICAS_ACK"):
            keys.all_keys(url)
