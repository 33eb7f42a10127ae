"""Configures logging: each line is one JSON object (or readable text), with the same field names everywhere.

This module does not filter secrets: no code may log them. Field names: `request` (the id of the current HTTP
request), `trace` (of the job), `job`, `tenant`, `task`, `epoch`, `delivery`, `endpoint`, `event`, `reason`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import orjson
import structlog

from gateway.telemetry.context import REQUEST, TRACE


def configure(log_level: str, log_format: str) -> None:
    """Call it once in each process, before anything is logged."""
    level = getattr(logging, log_level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _with_context,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    json = log_format == "json"
    structlog.configure(
        processors=[*shared, *(_json(orjson.dumps) if json else _console())],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer)
        if json
        else structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _configure_libraries(
        max(level, logging.WARNING),
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_json(_dumps_text) if json else _console()),
            ],
        ),
    )


def _with_context(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if request := REQUEST.get():
        line.setdefault("request", request)
    if trace := TRACE.get():
        line.setdefault("trace", trace)
    return line


class Outage:
    """Logs a failure once when it begins (event `gone`, a warning with its reason) and once when it is over
    (event `back`), however often it is reported in between."""

    def __init__(self, gone: str, back: str, **fields: object) -> None:
        self._gone = gone
        self._back = back
        self._fields = fields
        self._failing = False

    def failed(self, reason: str) -> None:
        if not self._failing:
            structlog.get_logger().warning(self._gone, reason=reason, **self._fields)
        self._failing = True

    def recovered(self) -> None:
        if self._failing:
            structlog.get_logger().info(self._back, **self._fields)
        self._failing = False


def _configure_libraries(level: int, formatter: logging.Formatter) -> None:
    """Log lines of libraries, which use the standard library, get the same format as ours."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.getLogger("arq").setLevel(logging.ERROR)  # it repeats warnings that we log ourselves


def _json(dumps: Callable[..., str | bytes]) -> list[Any]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=dumps)]


def _console() -> list[Any]:
    # The default formatter shows local variables, which may be secrets.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]


def _dumps_text(value: object, default: Callable[[Any], Any]) -> str:
    return orjson.dumps(value, default=default).decode()
