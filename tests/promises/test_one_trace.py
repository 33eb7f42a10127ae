"""A job is one trace, from the client's own span to its webhook."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call, free_port, machine
from tests.promises.conftest import SHORT, eventually, job_of

pytestmark = pytest.mark.processes
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


class Ears:
    """A collector of spans, and a subscriber that notes the `traceparent` of what it hears."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.told: list[str | None] = []
        self.url = f"http://127.0.0.1:{free_port()}"

    def take(self, path: str, headers: Any, body: bytes) -> None:
        if path == "/hook":
            self.told.append(headers["traceparent"])
            return
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {one.key: one.value.string_value for one in group.resource.attributes}
            for scope in group.scope_spans:
                self.spans += [
                    {
                        "name": span.name,
                        "service": named["service.name"],
                        "trace": span.trace_id.hex(),
                        "id": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "about": {one.key: one.value.string_value for one in span.attributes},
                        "ns": span.end_time_unix_nano - span.start_time_unix_nano,
                    }
                    for span in scope.spans
                ]

    def names(self) -> set[str]:
        return {span["name"] for span in self.spans}


@pytest.fixture
def ears() -> Iterator[Ears]:
    heard = Ears()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.take(self.path, self.headers, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(heard.url.rpartition(":")[2])), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield heard
    server.shutdown()
    server.server_close()


@pytest.fixture
def service(tmp_path: Path, nursery: Nursery) -> Iterator[Machine]:
    with machine(tmp_path, nursery, restricted=True) as made:
        made.environment |= SHORT
        made.start_sandbox(task_seconds="0.3")
        yield made


def post(service: Machine, ears: Ears, parent: str | None) -> str:
    headers = {} if parent is None else {"traceparent": parent}
    order = {**ORDER, "callback_url": f"{ears.url}/hook"}
    status, job, _ = call("POST", f"{service.gateway}/v1/jobs", service.key, order, **headers)
    assert status == 202
    return str(job["id"])


def test_every_step_is_a_span_of_the_client_s_trace(service: Machine, ears: Ears) -> None:
    service.environment |= {
        "GATEWAY_OTEL": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": ears.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    service.start_gateway()
    service.start_workers()
    job = post(service, ears, PARENT)
    assert job_of(service, job, wait=30)["status"] == "completed"
    steps = {"accept", "queue", "submit", "callback", "confirm", "deliver"}
    eventually(lambda: steps <= ears.names())
    assert {span["trace"] for span in ears.spans} == {TRACE}
    [accept] = [span for span in ears.spans if span["name"] == "accept"]
    assert (accept["parent"], accept["service"]) == (SPAN, "vidu-gateway")
    for span in ears.spans:
        if span["name"] != "accept":
            assert (span["parent"], span["about"]["job"], span["about"]["tenant"]) == (
                accept["id"],
                job,
                "acme",
            )
    [deliver] = [span for span in ears.spans if span["name"] == "deliver"]
    assert deliver["service"] == "vidu-gateway-workers"
    assert ears.told == [f"00-{TRACE}-{deliver['id']}-01"]

    ears.spans.clear()
    post(service, ears, None)
    eventually(lambda: steps <= ears.names())
    [new] = {span["trace"] for span in ears.spans}
    assert new != TRACE


def test_without_spans_of_our_own_the_client_s_is_passed_on_and_logged(service: Machine, ears: Ears) -> None:
    service.start_gateway()
    service.start_workers()
    job = post(service, ears, PARENT)
    assert job_of(service, job, wait=30)["status"] == "completed"
    eventually(lambda: ears.told == [PARENT])
    other = post(service, ears, None)
    assert job_of(service, other, wait=30)["status"] == "completed"
    eventually(lambda: ears.told == [PARENT, None])
    assert ears.spans == []
    eventually(lambda: service.log("workers").count('"attempted"') == 2)
    lines = [json.loads(line) for line in service.log("workers").splitlines()]
    for event in ("submitted", "attempted"):
        traces = {line["job"]: line.get("trace") for line in lines if line["event"] == event}
        assert traces == {job: TRACE, other: None}
