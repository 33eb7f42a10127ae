"""What the current task is serving, for log lines and for the operators' audit."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

#: The id of the HTTP request; "" outside a request.
REQUEST: Final = ContextVar("request", default="")
#: The id of the trace of the current job; "" if there is none.
TRACE: Final = ContextVar("trace", default="")
