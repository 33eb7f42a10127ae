"""The two dialects side by side: where a creation differs between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from gateway.sandbox import answers, vidu_answers
from gateway.sandbox.checks import Order, read_flat_order, read_order
from gateway.sandbox.faults import Fault
from gateway.sandbox.tasks import Dialect, Task


@dataclass(frozen=True, slots=True)
class Wire:
    """`scheme`: what stands before the key. `refusal`: of (code, message, status, request id)."""

    name: Dialect
    scheme: str
    id_field: str
    read_order: Callable[[bytes], Order]
    refusal: Callable[[str, str, int, str], Response]
    refusal_by: Callable[[Fault, str], Response]
    created: Callable[[Task], dict[str, Any]]


def _vtrix_created(task: Task) -> dict[str, Any]:
    return answers.envelope(task, 0.0)


VTRIX = Wire("vtrix", "Bearer", "id", read_order, answers.refusal, answers.refusal_by, _vtrix_created)
VIDU = Wire(
    "vidu",
    "Token",
    "task_id",
    read_flat_order,
    vidu_answers.refusal,
    vidu_answers.refusal_by,
    vidu_answers.created_body,
)
