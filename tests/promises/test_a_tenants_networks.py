"""Webhooks of a tenant go to its own networks, and nobody else's do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.commands import tenants
from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call, machine
from tests.promises.conftest import SHORT, Subscriber, eventually, job_of, post

pytestmark = pytest.mark.processes


@pytest.fixture
def service(tmp_path: Path, nursery: Nursery) -> Iterator[Machine]:
    """It may send webhooks nowhere by itself."""
    with machine(tmp_path, nursery, restricted=True) as made:
        made.environment |= SHORT | {"GATEWAY_DELIVERY_NETWORKS": ""}
        tenants.change(made.url, "acme", {"networks": ["127.0.0.0/8"]})
        made.start_sandbox()
        made.start_gateway()
        made.start_workers()
        yield made


def test_a_tenant_hears_in_its_own_network_and_another_cannot_be_sent_there(
    service: Machine, subscriber: Subscriber
) -> None:
    job = post(service, subscriber)
    assert job_of(service, job, wait=30)["status"] == "completed"
    eventually(lambda: len(subscriber.events_of(job)) == 1)
    other = service.make_key("zeta")
    order = {**ORDER, "callback_url": subscriber.url}
    status, problem, _ = call("POST", f"{service.gateway}/v1/jobs", other, order)
    assert (status, problem["errors"][0]["code"]) == (422, "address_refused")

    # Taken back, it holds within seconds, also for what was accepted before.
    tenants.change(service.url, "acme", {"networks": None})
    eventually(lambda: call("POST", f"{service.gateway}/v1/jobs", service.key, order)[0] == 422)
