"""One trace for a job, from the request that posted it to the webhooks that tell of it (W3C Trace Context).

A client's `traceparent` is kept with its job, and every log line about the job carries the trace's id. With
the extra `otel` and `GATEWAY_OTEL=1` each step is a span of that trace, sent to where the `OTEL_*` variables
say; without, the client's own span is passed on as it came. The upstream is told of none of it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.context import TRACE
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

#: version 00, trace and span not all zeros, flags.
_PARENT: Final = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")
_MS: Final = 1_000_000  # ns
#: What a step is about: job, tenant, ...
About = Mapping[str, str | int]


def read(header: bytes | None) -> str | None:
    """The client's `traceparent`. One that is malformed is passed over, as the standard asks."""
    return header.decode() if header is not None and _PARENT.match(header) else None


class Tracer(Protocol):
    on: bool

    def span(self, name: str, parent: str | None, about: About) -> AbstractContextManager[str | None]:
        """A step of the trace of `parent` (a new trace without), until the block ends; its own traceparent.
        Log lines in the block carry the trace's id."""

    def past(self, name: str, parent: str | None, about: About, since_ms: int, until_ms: int) -> None:
        """A step that is over already."""

    def close(self) -> None:
        """Send what is not sent yet."""


class Untraced:
    """Passes on what came."""

    on = False

    @contextlib.contextmanager
    def span(self, name: str, parent: str | None, about: About) -> Iterator[str | None]:
        with _named(parent):
            yield parent

    def past(self, name: str, parent: str | None, about: About, since_ms: int, until_ms: int) -> None: ...

    def close(self) -> None: ...


UNTRACED: Final = Untraced()


class Traced:
    """Spans by the OpenTelemetry SDK."""

    on = True

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("vidu-gateway")

    @contextlib.contextmanager
    def span(self, name: str, parent: str | None, about: About) -> Iterator[str | None]:
        span = self._tracer.start_span(name, _context(parent), attributes=about)
        found = span.get_span_context()
        own = f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"
        try:
            with _named(own):
                yield own
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            span.end()

    def past(self, name: str, parent: str | None, about: About, since_ms: int, until_ms: int) -> None:
        start = since_ms * _MS
        span = self._tracer.start_span(name, _context(parent), attributes=about, start_time=start)
        span.end(max(start, until_ms * _MS))

    def close(self) -> None:
        self._provider.shutdown()


def check(*, on: bool) -> None:
    """ConfigurationError when spans are wanted and the extra is not there."""
    if not on:
        return
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError:
        message = "GATEWAY_OTEL: the extra is not installed: pip install 'vidu-gateway[otel]'"
        raise ConfigurationError(message) from None


def make(*, on: bool, service: str) -> Tracer:
    """`service`: the name under which this process' spans are shown. ConfigurationError as of `check`."""
    check(on=on)
    if not on:
        return UNTRACED
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traced(provider)


@contextlib.contextmanager
def _named(traceparent: str | None) -> Iterator[None]:
    token = TRACE.set(traceparent.split("-")[1] if traceparent else "")
    try:
        yield
    finally:
        TRACE.reset(token)


def _context(parent: str | None) -> Context | None:
    from opentelemetry import context, trace

    if parent is None:
        return context.Context()
    _, trace_id, span_id, flags = parent.split("-")
    remote: Any = trace.SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=trace.TraceFlags(int(flags, 16))
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), context.Context())
