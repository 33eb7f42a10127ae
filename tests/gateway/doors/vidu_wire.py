"""The types into which Vidu's clients decode answers. A value of another type fails there, and here.

They take exactly five words for a state and a whole number for credits. What they do not know they pass over.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tests.gateway.doors.wire import Wire

State = Literal["created", "queueing", "processing", "success", "failed"]


class Created(Wire):
    task_id: str = Field(min_length=1)
    state: State
    model: str
    images: list[str]
    videos: list[str]
    prompt: str
    duration: int
    seed: int
    aspect_ratio: str
    resolution: str
    movement_amplitude: str
    payload: str
    off_peak: bool
    watermark: bool
    credits: int = 0
    created_at: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


class Creation(Wire):
    id: str
    url: str = Field(min_length=1)
    cover_url: str
    watermarked_url: str = ""


class Task(Wire):
    """`credits`: -1 if it is absent; a 0 is believed."""

    id: str
    state: State
    err_code: str
    credits: int = -1
    payload: str
    bgm: bool
    off_peak: bool
    creations: list[Creation]

    @property
    def urls(self) -> list[str]:
        return [one.url for one in self.creations]


class Listed(Task):
    model: str
    prompt: str
    duration: int
    aspect_ratio: str
    resolution: str
    created_at: str


class TaskList(Wire):
    next_page_token: str
    tasks: list[Listed]


class Metadata(Wire):
    trace_id: str


class HttpError(Wire):
    code: int
    reason: str
    message: str
    metadata: Metadata
