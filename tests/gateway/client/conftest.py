"""A service of real processes, one for each file, and a line to it that a test can cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.client import Client
from gateway.tenants import Scope
from tests.nursery import Nursery
from tests.processes import Machine, machine
from tests.promises.faults.proxy import Proxies, Proxy

FOX = Path(__file__).parents[3] / "gateway" / "sandbox" / "samples" / "red-fox.jpg"
IMAGE = "https://cdn.example.com/fox.png"


@dataclass(frozen=True, slots=True)
class Service:
    """`line`: a proxy before the gateway, at the URL `by_line`. `operator`: a key of an operator."""

    made: Machine
    line: Proxy
    operator: str

    @property
    def url(self) -> str:
        return self.made.gateway

    @property
    def by_line(self) -> str:
        return f"http://127.0.0.1:{self.line.port}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Service]:
    proxies = Proxies()
    with machine(tmp_path_factory.mktemp("service"), nursery) as made:
        made.start_sandbox()
        told = {"GATEWAY_CLIENT_URL": made.gateway, "GATEWAY_MIRROR": "1"}
        told["GATEWAY_ALLOW_PRIVATE_MEDIA_URLS"] = "1"
        made.start_gateway(**told)
        made.start_workers(**told)
        line = proxies.open("gateway", ("127.0.0.1", made.ports["gateway"]))
        try:
            yield Service(made, line, made.make_key("operator", [Scope.OPS_READ, Scope.OPS_WRITE]))
        finally:
            proxies.close()


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    service.line.cut()
    with Client(service.url, service.made.key) as made:
        yield made
