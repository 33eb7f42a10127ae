"""The W3C trace context, as it is read, passed on and made."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.telemetry import tracing
from gateway.telemetry.context import TRACE

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"00",
        PARENT.upper().encode(),
        f"01-{TRACE_ID}-{SPAN_ID}-01".encode(),
        f"00-{'0' * 32}-{SPAN_ID}-01".encode(),
        f"00-{TRACE_ID}-{'0' * 16}-01".encode(),
        f"{PARENT}-more".encode(),
        f"{PARENT}\n".encode(),
        f" {PARENT}".encode(),
        b"\xff" * 55,
    ],
)
def test_a_malformed_traceparent_is_ignored(header: bytes) -> None:
    assert tracing.read_traceparent(header) is None


def test_a_traceparent_is_kept_unchanged() -> None:
    assert tracing.read_traceparent(PARENT.encode()) == PARENT
    assert tracing.read_traceparent(None) is None


def test_without_tracing_the_traceparent_is_passed_on_and_logged() -> None:
    with tracing.NO_TRACER.span("step", PARENT, {}) as passed:
        assert (passed, TRACE.get()) == (PARENT, TRACE_ID)
        with tracing.NO_TRACER.span("other", None, {}) as none:
            assert (none, TRACE.get()) == (None, "")
        assert TRACE.get() == TRACE_ID
    assert TRACE.get() == ""


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(spans: InMemorySpanExporter) -> tracing.OpenTelemetryTracer:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return tracing.OpenTelemetryTracer(provider)


def test_a_span_is_a_child_of_its_parent(
    tracer: tracing.OpenTelemetryTracer, spans: InMemorySpanExporter
) -> None:
    with tracer.span("step", PARENT, {"job": "job_1", "epoch": 2}) as own:
        assert own is not None
        assert tracing.read_traceparent(own.encode()) == own
        assert TRACE.get() == TRACE_ID
    [span] = spans.get_finished_spans()
    assert span.context is not None
    assert span.parent is not None
    assert own == f"00-{TRACE_ID}-{span.context.span_id:016x}-01"
    assert f"{span.parent.span_id:016x}" == SPAN_ID
    assert dict(span.attributes or {}) == {"job": "job_1", "epoch": 2}


def test_an_unsampled_traceparent_is_not_recorded_but_passed_on(
    tracer: tracing.OpenTelemetryTracer, spans: InMemorySpanExporter
) -> None:
    with tracer.span("step", f"{PARENT[:-2]}00", {}) as own:
        assert own is not None
        assert own.startswith(f"00-{TRACE_ID}-")
        assert own.endswith("-00")
    assert spans.get_finished_spans() == ()


def test_only_the_type_of_a_failure_is_recorded(
    tracer: tracing.OpenTelemetryTracer, spans: InMemorySpanExporter
) -> None:
    with pytest.raises(ValueError, match="a secret"), tracer.span("step", None, {}):
        raise ValueError("a secret")
    [span] = spans.get_finished_spans()
    assert dict(span.attributes or {}) == {"error.type": "ValueError"}
    assert span.events == ()


def test_a_finished_step_has_its_own_times(
    tracer: tracing.OpenTelemetryTracer, spans: InMemorySpanExporter
) -> None:
    tracer.add_finished("queue", PARENT, {"job": "job_1"}, 1_000, 5_000)
    tracer.add_finished("queue", PARENT, {"job": "job_1"}, 5_000, 4_000)  # clocks differ
    first, second = spans.get_finished_spans()
    assert (first.start_time, first.end_time) == (1_000_000_000, 5_000_000_000)
    assert second.end_time == second.start_time
