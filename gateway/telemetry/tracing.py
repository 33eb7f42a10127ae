"""One trace for each job, from the request that posted it to its webhooks (W3C Trace Context).

The client's `traceparent` is stored with its job, and every log line about the job has the id of the trace.
With the extra `otel` and `GATEWAY_OTEL=1`, each step is a span of that trace, and the `OTEL_*` variables say
where to send the spans. Otherwise the client's own `traceparent` is passed on unchanged. Nothing of this is
sent to the upstream.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.errors import ConfigurationError
from gateway.telemetry.context import TRACE

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

#: Version 00; trace and span ids that are not all zeros; flags.
_PARENT: Final = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")
_MS: Final = 1_000_000  # ns
#: The attributes of a step: job, tenant, ...
Attributes = Mapping[str, str | int]


def read_traceparent(header: bytes | None) -> str | None:
    """The client's `traceparent`. A malformed one is ignored, as the standard demands."""
    return header.decode() if header is not None and _PARENT.match(header) else None


class Tracer(Protocol):
    on: bool

    def span(
        self, name: str, parent: str | None, attributes: Attributes
    ) -> AbstractContextManager[str | None]:
        """A step of the trace of `parent`, or of a new trace; it ends with the block. Yields its traceparent.
        Log lines in the block have the id of the trace."""

    def add_finished(
        self, name: str, parent: str | None, attributes: Attributes, since_ms: int, until_ms: int
    ) -> None:
        """Records a step that has already ended."""

    def close(self) -> None:
        """Sends the remaining spans."""


class NoTracer:
    """Records no spans and passes on the client's traceparent."""

    on = False

    def span(
        self, name: str, parent: str | None, attributes: Attributes
    ) -> AbstractContextManager[str | None]:
        return _TraceInLogs(parent)

    def add_finished(
        self, name: str, parent: str | None, attributes: Attributes, since_ms: int, until_ms: int
    ) -> None: ...

    def close(self) -> None: ...


NO_TRACER: Final = NoTracer()


class OpenTelemetryTracer:
    """Records spans with the OpenTelemetry SDK."""

    on = True

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("vidu-gateway")

    @contextlib.contextmanager
    def span(self, name: str, parent: str | None, attributes: Attributes) -> Iterator[str | None]:
        span = self._tracer.start_span(name, _context(parent), attributes=attributes)
        found = span.get_span_context()
        own = f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"
        try:
            with _TraceInLogs(own):
                yield own
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            span.end()

    def add_finished(
        self, name: str, parent: str | None, attributes: Attributes, since_ms: int, until_ms: int
    ) -> None:
        start = since_ms * _MS
        span = self._tracer.start_span(name, _context(parent), attributes=attributes, start_time=start)
        span.end(max(start, until_ms * _MS))

    def close(self) -> None:
        self._provider.shutdown()


def check_installed(*, on: bool) -> None:
    """ConfigurationError if tracing is on and the extra is not installed."""
    if not on:
        return
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError:
        message = "GATEWAY_OTEL: the extra is not installed: pip install 'vidu-gateway[otel]'"
        raise ConfigurationError(message) from None


def make_tracer(*, on: bool, service: str) -> Tracer:
    """`service`: the service name of this process in its spans. ConfigurationError as in
    `check_installed`."""
    check_installed(on=on)
    if not on:
        return NO_TRACER
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OpenTelemetryTracer(provider)


class _TraceInLogs:
    """Log lines in the block have the id of the trace. Yields the traceparent."""

    __slots__ = ("_before", "_traceparent")

    def __init__(self, traceparent: str | None) -> None:
        self._traceparent = traceparent

    def __enter__(self) -> str | None:
        traceparent = self._traceparent
        self._before = TRACE.set(traceparent.split("-")[1] if traceparent else "")
        return traceparent

    def __exit__(self, *_: object) -> None:
        TRACE.reset(self._before)


def _context(parent: str | None) -> Context | None:
    from opentelemetry import context, trace

    if parent is None:
        return context.Context()
    _, trace_id, span_id, flags = parent.split("-")
    remote: Any = trace.SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=trace.TraceFlags(int(flags, 16))
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), context.Context())
