"""The two dialects, and how a creation differs between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from gateway.sandbox import answers, vidu_answers
from gateway.sandbox.checks import TaskSpec, read_flat_spec, read_nested_spec
from gateway.sandbox.faults import Fault
from gateway.sandbox.tasks import Dialect, Task


@dataclass(frozen=True, slots=True)
class WireFormat:
    """`scheme`: the word before the key in the authorization header. `refusal`: makes an answer from (code,
    message, status, request id). `created`: the body of the answer to a creation."""

    name: Dialect
    scheme: str
    id_field: str
    read_spec: Callable[[bytes], TaskSpec]
    refusal: Callable[[str, str, int, str], Response]
    refusal_by: Callable[[Fault, str], Response]
    created: Callable[[Task], dict[str, Any]]


def _vtrix_created(task: Task) -> dict[str, Any]:
    return answers.envelope(task, 0.0)


VTRIX = WireFormat(
    "vtrix", "Bearer", "id", read_nested_spec, answers.refusal, answers.refusal_by, _vtrix_created
)
VIDU = WireFormat(
    "vidu",
    "Token",
    "task_id",
    read_flat_spec,
    vidu_answers.refusal,
    vidu_answers.refusal_by,
    vidu_answers.created_body,
)
