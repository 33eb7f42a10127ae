"""Decorators that every response schema uses."""

from __future__ import annotations

from gateway.views.shapes import open_shape as open_shape
from gateway.views.shapes import shape as shape
