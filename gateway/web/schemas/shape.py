"""What every schema of an answer has in common."""

from __future__ import annotations

from gateway.job_view import open_shape as open_shape
from gateway.job_view import shape as shape
