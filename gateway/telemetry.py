"""Log lines: one JSON object each (or for people), with the same field names everywhere.

Secrets are not filtered out here; they are never put in. Field names: `job`, `tenant`, `task`, `epoch`,
`delivery`, `endpoint`, `event`, `reason`.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson
import structlog

from gateway.settings import Settings


def configure(settings: Settings) -> None:
    """Once for each process, before anything is logged."""
    level = getattr(logging, settings.log_level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if settings.log_format == "json":
        shared.append(structlog.processors.JSONRenderer(serializer=orjson.dumps))
        factory: Any = structlog.BytesLoggerFactory(sys.stderr.buffer)
    else:
        shared.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
        factory = structlog.PrintLoggerFactory(sys.stderr)
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr, format="%(name)s: %(message)s")
