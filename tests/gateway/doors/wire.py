"""The types that Vtrix's own client decodes answers into. A value of another type fails there, and here.

Its decoder is Go's: it passes over unknown fields, and takes null for "not given". `error` of a task was a
string at first and is a string or an object now.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class Content(Wire):
    type: str = ""
    url: str | None = None
    duration: str | None = None
    id: str | None = None
    img_id: int | None = None


class OutputGroup(Wire):
    content: list[Content]


class Usage(Wire):
    cost: str | None = None
    quantity: int | None = None
    unit_price: str | None = None
    extra_info: dict[str, Any] | None = None


class TaskError(Wire):
    """`code` is never read there, but it is published as an integer."""

    code: int
    error_message: str | None = None
    message: str | None = None


class Task(Wire):
    id: str
    status: str
    model: str
    created_at: int
    progress: float | None = None
    output: list[OutputGroup] | None = None
    usage: Usage | None = None
    error: TaskError | str | None = None
    payload: str | None = None

    @property
    def urls(self) -> list[str]:
        return [one.url for group in self.output or () for one in group.content if one.url]


class HttpError(Wire):
    message: str
    error: str


class Constraints(Wire):
    enum: list[str] | None = None
    default: Any = None
    min: float | None = None
    max: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    max_items: int | None = None


class Parameter(Wire):
    name: str
    path: str
    type: str
    required: bool
    description: str
    constraints: Constraints | None = None


class Api(Wire):
    endpoint: str
    method: str
    headers: dict[str, str]


class Spec(Wire):
    model_id: str
    name: str
    vendor: str
    type: str
    api: Api
    parameters: list[Parameter]
    agent_prompt: str


class Model(Wire):
    id: str
    name: str
    type: str
    description: str
    input_modalities: list[str]
    output_modalities: list[str]


class Models(Wire):
    models: list[Model]
    total: int
    page: int
    page_size: int
    total_pages: int


class EnvelopeStatus(Wire):
    code: int
    message: str


class ModelList(Wire):
    status: EnvelopeStatus
    data: Models


class ModelSpec(Wire):
    status: EnvelopeStatus
    data: Spec | None
