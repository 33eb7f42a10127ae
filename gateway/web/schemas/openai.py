"""The shapes of the OpenAI door's answers, for its OpenAPI document. `gateway/doors/openai/` builds them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from gateway.lifecycle import JobState
from gateway.views.job import Warning  # noqa: A004 - its name in the document
from gateway.views.shapes import JobId, extensible, shape
from gateway.web.http.problem_document import Fault

EpochSeconds = Annotated[int, Field(ge=0, examples=[1767225600])]


@shape
class VideoError(TypedDict):
    """Why there is no video."""

    code: str
    """As that of the job's error in `/v1/jobs`; `canceled` if it was canceled."""
    message: str


@shape
class Video(TypedDict):
    """A job, as a video."""

    id: JobId
    object: Literal["video"]
    model: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: Annotated[int, Field(ge=0, le=100)]
    """Per cent, as the upstream tells it."""
    created_at: EpochSeconds
    completed_at: EpochSeconds | None
    """When it was completed, or failed."""
    expires_at: EpochSeconds | None
    """When our copy of the file is deleted; null if there is none."""
    seconds: str
    """The length. `0` until the model has chosen it, if that was asked for."""
    size: str
    """The pixels that this model renders, `WIDTHxHEIGHT`."""
    prompt: str | None
    remixed_from_video_id: None
    error: VideoError | None
    phase: Annotated[str, extensible(list(JobState))]
    """The exact state of the job."""
    cost: str | None
    """USD, as a decimal text."""
    warnings: list[Warning]
    metadata: dict[str, Any]
    """What the upstream says of the result."""
    payload: NotRequired[str]
    """Your own text, unchanged. Lists and long ones in webhooks leave it out."""


@shape
class VideoList(TypedDict):
    object: Literal["list"]
    data: list[Video]
    first_id: JobId | None
    last_id: JobId | None
    """Send it as `after` to get the next page."""
    has_more: bool


@shape
class VideoDeleted(TypedDict):
    id: JobId
    object: Literal["video.deleted"]
    deleted: Literal[True]


@shape
class Model(TypedDict):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


@shape
class ModelList(TypedDict):
    object: Literal["list"]
    data: list[Model]


@shape
class OpenAIFault(TypedDict):
    message: str
    """Everything that is wrong."""
    type: str
    param: str | None
    """The first that is wrong."""
    code: str
    errors: list[Fault]
    request_id: str


@shape
class OpenAIRefusal(TypedDict):
    """An error of a request."""

    error: OpenAIFault
