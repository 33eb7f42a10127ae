"""`vidu-gateway listen` and real gateways: nothing is lost while its own is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis
from standardwebhooks import Webhook

from gateway.commands import calls
from gateway.store import event_bodies, keys
from tests.gateway.commands.streaming import process, subscriber
from tests.nursery import Nursery
from tests.processes import ORDER, Machine, free_port, machine


def canceled(url: str, key: str) -> str:
    """A job that has come to its end, with no upstream and no worker."""
    job: dict[str, Any] = calls.ask("POST", url, "/v1/jobs", key, ORDER)
    assert calls.ask("POST", url, f"/v1/jobs/{job['id']}/cancel", key)["status"] == "canceled"
    return str(job["id"])


def frozen(made: Machine, event_id: str) -> bytes:
    """The bytes that every endpoint gets of this event."""
    with redis.Redis.from_url(made.url, decode_responses=True) as client:
        body = event_bodies.load(client.hgetall(keys.event(event_id)))
    assert body is not None
    return body


@pytest.mark.processes
def test_what_happens_while_its_gateway_is_away_is_forwarded_once(tmp_path: Path, nursery: Nursery) -> None:
    secret = "whsec_" + "A" * 44
    with machine(tmp_path, nursery) as made, subscriber() as hearing:
        made.start_gateway()
        other = f"http://127.0.0.1:{free_port()}"
        port = other.rpartition(":")[2]
        made.start("other", "gateway", probe=f"{other}/livez", more={"GATEWAY_PORT": port})
        canceled(made.gateway, made.key)  # before anybody listens: not shown
        words = ("--forward", hearing.url, "--url", made.gateway, "--key", made.key, "--secret", secret)
        with process(nursery, tmp_path, *words, "--events", "job.canceled") as listening:
            listening.line_with("connected")
            jobs = [canceled(made.gateway, made.key)]
            listening.line_with(jobs[0], "204")
            made.stop("gateway")
            listening.line_with("the gateway ended the stream")
            jobs.append(canceled(other, made.key))
            made.start_gateway()
            listening.line_with("reconnected")
            listening.line_with(jobs[1], "204")
            jobs.append(canceled(made.gateway, made.key))
            listening.line_with(jobs[2], "204")
        assert [headers["webhook-id"] for headers, _ in hearing.got] == [
            f"evt_{job.removeprefix('job_')}_canceled" for job in jobs
        ]
        for headers, body in hearing.got:
            assert body == frozen(made, headers["webhook-id"])
            Webhook(secret).verify(body, headers)


@pytest.mark.processes
def test_an_unknown_key_is_an_error(tmp_path: Path, nursery: Nursery) -> None:
    with machine(tmp_path, nursery) as made:
        made.start_gateway()
        words = ("--forward", "http://127.0.0.1:9", "--url", made.gateway)
        with process(nursery, tmp_path, *words, "--key", f"vgw_{'0' * 12}_{'0' * 48}") as listening:
            assert listening.wait() == 1
            assert "answered 401" in listening.errors()
