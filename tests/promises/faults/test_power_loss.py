"""A power cut takes what was not synced, and nothing else; without that, the fault would prove nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import redis

from gateway.local.valkey import prepared
from tests.extras import missing
from tests.promises.faults.power_loss import PowerLoss, compiler

pytestmark = pytest.mark.processes

_WRITES = 200


@pytest.mark.parametrize(("fsync", "kept"), [("always", _WRITES), ("no", 0)])
def test_only_what_was_synced_survives(tmp_path: Path, fsync: str, kept: int) -> None:
    cc = compiler()
    if cc is None:
        missing("C compiler, which power losses need")
    power, data = PowerLoss(tmp_path / "power", cc), tmp_path / "data"
    with prepared(data, tmp_path / "log", "--appendfsync", fsync) as (server, url):
        server.environment = {**os.environ, **power.environment}
        with redis.Redis.from_url(url) as client:
            _start(server, client)
            for number in range(_WRITES):
                client.rpush("acknowledged", number)
            os.kill(server.pid, signal.SIGKILL)
            while server.exit_code() is None:
                pass
            assert (power.cut(data) > 0) is (kept == 0)
            _start(server, client)
            assert client.llen("acknowledged") == kept
        server.stop()


def _start(server: object, client: redis.Redis) -> None:
    server.start()  # type: ignore[attr-defined]
    while not server.is_ready():  # type: ignore[attr-defined]
        pass
    client.connection_pool.disconnect()
