"""What is being served just now, for whoever writes a log line or notes an act on its behalf."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

#: The id of the HTTP request; "" outside of one.
REQUEST: Final = ContextVar("request", default="")
#: The id of the trace of the job that is being worked on; "" without one.
TRACE: Final = ContextVar("trace", default="")
