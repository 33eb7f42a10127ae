"""Decorators that every response schema uses."""

from __future__ import annotations

from gateway.shapes import open_shape as open_shape
from gateway.shapes import shape as shape
