"""The shapes of what operators see in one look."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, Field

from gateway.web.alarms import Severity
from gateway.web.schemas.jobs import Answer, Timestamp
from gateway.web.schemas.ops import Count


class AlarmShown(Answer):
    code: str
    """The name of the alert, and of its entry in the guide for operators."""
    severity: Severity
    text: str
    runbook: str


class RoleOverview(Answer):
    waiting: Count
    oldest_seconds: float = Field(ge=0)
    due: Count
    """To enter a lane later."""
    overdue_seconds: float = Field(ge=0)
    slots_in_use: Count
    slots: Count


class AccountOverview(Answer):
    name: str
    parked: bool
    held: bool
    """Nothing is sent before the time that a 429 named."""
    slots: Count
    """How many tasks it may hold now, of `limit`."""
    limit: Count
    in_flight: Count
    parked_seconds: float = Field(ge=0)
    """For so long it has been parked."""


class CallbackOverview(Answer):
    expected: bool
    seen: Count
    """Genuine ones, since the beginning."""
    lost: Count
    """Ends that a poll found although callbacks are on."""


class RedisOverview(Answer):
    durable: bool
    memory_bytes: Count
    memory_ratio: float = Field(ge=0)
    version: str
    read_ms: float = Field(ge=0)


class Overview(Answer):
    object: Literal["overview"]
    at: Timestamp
    alarms: list[AlarmShown]
    """The gravest first."""
    roles: dict[str, RoleOverview]
    jobs: dict[str, int]
    """By phase."""
    finished: dict[str, int]
    """Since the beginning, by how they ended."""
    deliveries: dict[str, int]
    """By state."""
    accounts: list[AccountOverview]
    paused: bool
    workers: Count
    callbacks: CallbackOverview
    parked_subscribers: Count
    unknown_oldest_seconds: float = Field(ge=0)
    redis: RedisOverview


class Worker(Answer):
    object: Literal["worker"]
    id: str
    host: str
    pid: int
    roles: list[str]
    version: str
    started_at: Timestamp
    last_seen_at: Timestamp
    running: Count
    """Pieces of work in hand."""


class WorkerList(Answer):
    object: Literal["list"]
    data: list[Worker]
    has_more: bool
    next: str | None


ANSWERS: Final[tuple[type[BaseModel], ...]] = (Overview, WorkerList)
