"""Decorators that every response schema uses."""

from __future__ import annotations

from gateway.job_view import open_shape as open_shape
from gateway.job_view import shape as shape
