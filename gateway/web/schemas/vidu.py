"""The shapes of the Vidu door's answers, for its OpenAPI document. `gateway/doors/vidu.py` builds them."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from gateway.views.shapes import JobId, Timestamp, shape

State = Literal["queueing", "processing", "success", "failed"]
Credits = Annotated[
    int, Field(ge=0, description="What it cost, at US$0.005 a credit, rounded up. Absent until it is known.")
]


@shape
class ViduParameters(TypedDict):
    """The parameters of a task, with their defaults."""

    model: str
    prompt: str
    duration: int
    aspect_ratio: str
    resolution: str
    created_at: Timestamp


@shape
class ViduCreated(ViduParameters):
    """A job that was accepted."""

    task_id: JobId
    state: Literal["created"]
    images: list[str]
    """Without files that were inside the request, and so are `videos`."""
    videos: list[str]
    seed: int
    movement_amplitude: str
    """Has no effect."""
    payload: str
    off_peak: bool
    watermark: bool


@shape
class ViduCreation(TypedDict):
    id: str
    url: str
    cover_url: str
    watermarked_url: NotRequired[str]


@shape
class ViduTask(TypedDict):
    """A job, as a task. The same body goes to the job's `callback_url` on each change of its state."""

    id: JobId
    state: State
    err_code: str
    """Why there is no video: the code of the job's error in `/v1/jobs`, or `UserCancelled`. Empty unless it
    failed."""
    credits: NotRequired[Credits]
    payload: str
    """Your own text, unchanged. A callback and a list leave out one of more than 16,384 characters."""
    bgm: bool
    off_peak: bool
    creations: list[ViduCreation]


@shape
class ViduListedTask(ViduTask, ViduParameters):
    """A task in a list."""


@shape
class ViduTaskList(TypedDict):
    next_page_token: str
    """Empty if there are no more."""
    tasks: list[ViduListedTask]


@shape
class ViduCanceled(TypedDict):
    """The task is canceled, or will be if the upstream can still stop it."""


@shape
class ViduMetadata(TypedDict):
    trace_id: str
    """The id of the request."""


@shape
class ViduRefusal(TypedDict):
    """An error of a request."""

    code: int
    """The HTTP status."""
    reason: str
    message: str
    """Everything that is wrong, one a line."""
    metadata: ViduMetadata
