"""Gateways are replaced one after the other, and no client notices, on new connections or on kept ones."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.nursery import Nursery
from tests.processes import Machine, free_port, machine, wait_for

pytestmark = pytest.mark.processes

DRAIN = {"GATEWAY_DRAIN_SECONDS": "60"}  # a second signal ends it, as soon as the balancer has looked
PAUSE_SECONDS = 0.005
LOOK_SECONDS = 0.1


@pytest.fixture
def service(tmp_path: Path, nursery: Nursery) -> Iterator[Machine]:
    with machine(tmp_path, nursery, restricted=True) as made:
        yield made


class Balancer:
    """Sends each request to a gateway that lately said that it is ready, in turn, on a kept connection if
    there is one. What fails is not tried again."""

    def __init__(self, ports: list[int], key: str) -> None:
        self.ports, self.key = ports, key
        self.ready = set(ports)
        self.answers: list[int] = []
        self.failed: list[str] = []
        self.served: dict[int, int] = dict.fromkeys(ports, 0)
        self._kept: dict[int, http.client.HTTPConnection] = {}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._poll), threading.Thread(target=self._send)]

    def __enter__(self) -> Balancer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for connection in self._kept.values():
            connection.close()

    def _poll(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            for port in self.ports:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
                try:
                    connection.request("GET", "/readyz")
                    ready = connection.getresponse().status == 200
                except OSError:
                    ready = False
                finally:
                    connection.close()
                (self.ready.add if ready else self.ready.discard)(port)

    def _send(self) -> None:
        for turn in itertools.count():
            if self._stop.wait(PAUSE_SECONDS):
                return
            ready = sorted(self.ready)
            for port in self._kept.keys() - ready:
                self._kept.pop(port).close()
            if not ready:
                self.failed.append("nobody is ready")
                continue
            self._one(ready[turn % len(ready)])

    def _one(self, port: int) -> None:
        connection = self._kept.pop(port, None) or http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/v1/jobs", headers={"Authorization": f"Bearer {self.key}"})
            answer = connection.getresponse()
            answer.read()
            self.answers.append(answer.status)
            self.served[port] += 1
            if answer.will_close:
                connection.close()
            else:
                self._kept[port] = connection
        except (OSError, http.client.HTTPException) as error:
            self.failed.append(repr(error))


def until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_no_request_fails_while_two_gateways_are_replaced(service: Machine) -> None:
    ports = [free_port(), free_port()]

    def start(port: int) -> None:
        probe = f"http://127.0.0.1:{port}/readyz"
        service.start(f"gateway{port}", "gateway", probe=probe, more=DRAIN | {"GATEWAY_PORT": str(port)})

    for port in ports:
        start(port)
    with Balancer(ports, service.key) as balancer:
        until(lambda: min(balancer.served.values()) > 20)
        for port in ports:
            service.processes[f"gateway{port}"].terminate()
            until(lambda port=port: port not in balancer.ready)  # type: ignore[misc]
            answered = len(balancer.answers)
            until(lambda answered=answered: len(balancer.answers) > answered + 1)  # type: ignore[misc]
            service.stop(f"gateway{port}")
            start(port)
            before = balancer.served[port]
            until(lambda port=port, before=before: balancer.served[port] > before + 20)  # type: ignore[misc]
    assert balancer.failed == []
    assert set(balancer.answers) == {200}


def test_a_gateway_that_is_asked_to_stop_serves_on_and_says_that_it_is_not_ready(service: Machine) -> None:
    service.start_gateway(GATEWAY_DRAIN_SECONDS="60")
    port = service.ports["gateway"]
    wait_for(f"http://127.0.0.1:{port}/readyz", service.processes["gateway"])
    service.processes["gateway"].terminate()

    def asked(path: str) -> tuple[int, str | None]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.getheader("connection")

    until(lambda: asked("/readyz")[0] == 503)
    assert asked("/livez") == (200, "close")
    service.processes["gateway"].terminate()  # a second one: at once
    service.processes["gateway"].wait(20)
