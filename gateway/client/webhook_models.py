"""What the gateway answers about endpoints and deliveries. As in `models.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from .models import Warning  # noqa: A004 - its name in the API
from .records import Record

_Step = Literal["job.queued", "job.submitted", "job.mirrored"]
_End = Literal["job.completed", "job.failed", "job.canceled", "job.late_result"]
#: Event types that an endpoint may want. `*` and `job.*`: all.
Filter = _Step | _End | Literal["job.*", "*"]


@dataclass(frozen=True, kw_only=True)
class Health(Record):
    """`status`: `ok`, `failing`, `paused`, `probing` or `disabled`. `held`, `dead`: deliveries that a
    recovery sends again."""

    status: str = ""
    attempts: int = 0
    failed: int = 0
    failing_since: datetime | None = None
    paused_until: datetime | None = None
    waiting: int = 0
    in_flight: int = 0
    held: int = 0
    dead: int = 0


@dataclass(frozen=True, kw_only=True)
class Endpoint(Record):
    """A URL that hears about your jobs. `secret`: only in the answer to `create` and `rotate`; store it,
    and give it to `webhooks.verify`. `headers`: their values are masked but in the answer that sets
    them."""

    id: str
    url: str
    events: tuple[str, ...] = ()
    description: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    schedule: tuple[float, ...] | None = None
    slots: int | None = None
    created_at: datetime | None = None
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    health: Health = field(default_factory=Health)
    warnings: tuple[Warning, ...] = ()
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class TestResult(Record):
    """The outcome of a test event. `delivered`: whether the endpoint answered 2xx. `attempt`: the details."""

    __test__ = False  # pytest would take it for a test

    delivered: bool
    event: str = ""
    attempt: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Delivery(Record):
    """One event owed to one endpoint, or to the job's `callback_url` (then `endpoint` is None). `state`:
    `pending`, `delivered`, `dead` or `held`. `log`: the newest attempts, newest last; lists leave it out."""

    id: str
    state: str
    event: Mapping[str, str] = field(default_factory=dict)
    job: str = ""
    endpoint: str | None = None
    url: str | None = None
    created_at: datetime | None = None
    attempts: int = 0
    attempts_before: int = 0
    trigger: str = ""
    next_attempt_at: datetime | None = None
    log: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recovery(Record):
    """Redelivers what an endpoint missed. `state`: `running`, `done` or `canceled`. `done` of `total`
    deliveries are pending again."""

    id: str
    state: str
    endpoint: str = ""
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    states: tuple[str, ...] = ()
    total: int = 0
    done: int = 0
    created_at: datetime | None = None
    finished_at: datetime | None = None
