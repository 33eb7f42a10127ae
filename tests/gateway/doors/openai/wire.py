"""The types that clients of OpenAI's videos API insist on: strict, and nothing else is allowed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class VideoError(Wire):
    code: str
    message: str


class Video(Wire):
    id: str
    object: Literal["video"]
    model: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: int
    created_at: int
    completed_at: int | None
    expires_at: int | None
    seconds: str
    size: str
    prompt: str | None
    remixed_from_video_id: None
    error: VideoError | None
    phase: str
    cost: str | None
    warnings: list[dict[str, str]]
    metadata: dict[str, Any]
    payload: str | None = None


class VideoList(Wire):
    object: Literal["list"]
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Event(Wire):
    id: str
    object: Literal["event"]
    created_at: int
    type: Literal["video.completed", "video.failed"]
    data: Video


class Fault(Wire):
    param: str
    code: str
    message: str


class ErrorBody(Wire):
    message: str
    type: str
    param: str | None
    code: str
    errors: list[Fault]
    request_id: str


class HttpError(Wire):
    error: ErrorBody
