"""The shapes of the Vtrix door's answers, for its OpenAPI document. `gateway/doors/vtrix.py` builds them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from gateway.views.shapes import JobId, shape
from gateway.web.http.problem_document import Fault

EpochSeconds = Annotated[int, Field(ge=0, examples=[1767225600])]


@shape
class VtrixCreated(TypedDict):
    """A job that was accepted."""

    id: JobId
    created_at: EpochSeconds
    model: str
    status: Literal["in_progress"]


@shape
class VtrixContent(TypedDict):
    type: str
    url: NotRequired[str]
    watermarked_url: NotRequired[str]
    cover_url: NotRequired[str]
    duration: NotRequired[str]


@shape
class VtrixOutput(TypedDict):
    content: list[VtrixContent]


@shape
class VtrixUsage(TypedDict):
    cost: NotRequired[str]
    """USD, as a decimal text."""
    discount: NotRequired[float]


@shape
class VtrixTaskError(TypedDict):
    """Why there is no video."""

    code: int
    """The upstream's, if it is a number; else a number that stands for `type`."""
    error_message: str
    type: str
    """The code of the job's error in `/v1/jobs`."""


@shape
class VtrixTask(TypedDict):
    """A job, as a task. The same body goes to the job's `callback_url` when it is finished."""

    id: JobId
    created_at: EpochSeconds
    model: str
    status: Literal["in_progress", "completed", "failed"]
    progress: NotRequired[Annotated[float, Field(ge=0, le=1)]]
    """Only while it is in progress, and if the upstream told it."""
    output: NotRequired[list[VtrixOutput]]
    """Only if it is completed."""
    usage: NotRequired[VtrixUsage]
    metadata: NotRequired[dict[str, Any]]
    """Only if it is completed."""
    error: NotRequired[VtrixTaskError]
    """Only if it failed."""
    payload: NotRequired[str]
    """Your own text, unchanged. A callback leaves out one of more than 16,384 characters."""


@shape
class VtrixRefusal(TypedDict):
    """An error of a request."""

    message: str
    """Everything that is wrong."""
    error: str
    code: int
    """The HTTP status."""
    errors: list[Fault]
    request_id: str


@shape
class VtrixEnvelopeStatus(TypedDict):
    code: int
    message: str


@shape
class VtrixModel(TypedDict):
    id: str
    name: str
    type: str
    description: str
    input_modalities: list[str]
    output_modalities: list[str]


@shape
class VtrixModels(TypedDict):
    models: list[VtrixModel]
    total: int
    page: int
    page_size: int
    total_pages: int


@shape
class VtrixModelList(TypedDict):
    status: VtrixEnvelopeStatus
    data: VtrixModels


@shape
class VtrixApi(TypedDict):
    endpoint: str
    method: str
    headers: dict[str, str]


@shape
class VtrixConstraints(TypedDict):
    enum: NotRequired[list[str]]
    default: NotRequired[Any]
    min: NotRequired[float]
    max: NotRequired[float]
    min_length: NotRequired[int]
    """In bytes of UTF-8, and so is `max_length`."""
    max_length: NotRequired[int]
    max_items: NotRequired[int]


@shape
class VtrixParameter(TypedDict):
    name: str
    path: str
    type: str
    required: bool
    description: str
    constraints: NotRequired[VtrixConstraints]


@shape
class VtrixSpec(TypedDict):
    model_id: str
    name: str
    vendor: str
    type: str
    api: VtrixApi
    parameters: list[VtrixParameter]
    agent_prompt: str


@shape
class VtrixModelSpec(TypedDict):
    status: VtrixEnvelopeStatus
    data: VtrixSpec | None
