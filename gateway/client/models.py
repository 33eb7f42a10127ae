"""What the gateway answers. Times are `datetime` with a time zone. Each record has its JSON in `raw`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from .records import Record

FINAL: Final = frozenset({"completed", "failed", "canceled"})

Variant = Literal["video", "watermarked", "cover"]
Status = Literal["queued", "in_progress", "completed", "failed", "canceled"]


@dataclass(frozen=True, kw_only=True)
class Warning(Record):  # noqa: A001 - its name in the API
    """Something that you should know about a request that was accepted, or about a result."""

    param: str
    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class JobError(Record):
    """Why there is no video. `code`: one of ours, or the upstream's own."""

    code: str
    error_message: str = ""


@dataclass(frozen=True, kw_only=True)
class Content(Record):
    """A video. `url` dies, maybe after an hour; `stable_url` may be stored: it is the gateway's own
    address, and needs your key. `watermarked_url`: the marked video, if `watermark` was asked for."""

    type: str = ""
    url: str | None = None
    watermarked_url: str | None = None
    stable_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class OutputGroup(Record):
    content: tuple[Content, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Asset(Record):
    """A file of a result and the gateway's copy of it. `state`: `pending`, `stored`, `failed` or `expired`.
    `sha256` and `bytes`: of the copy. `url`: its stable address."""

    url: str = ""
    state: str = ""
    bytes: int | None = None
    sha256: str | None = None
    media_type: str | None = None
    expires_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Queue(Record):
    """Where a job waits. `position`: how many of your jobs are ahead. `eta_seconds`: None if not known."""

    position: int = 0
    ahead_estimate: int = 0
    eta_seconds: int | None = None


@dataclass(frozen=True, kw_only=True)
class Cost(Record):
    """What a job costs, as decimal texts. `estimate`: of one submission, by the operator's prices
    (`upper_bound`: at most). `reserved`: held of your budgets. `charged`: so far; `basis`: how that is
    known."""

    estimate: str | None = None
    upper_bound: bool = False
    currency: str = ""
    reserved: str | None = None
    charged: str | None = None
    basis: str | None = None


@dataclass(frozen=True, kw_only=True)
class Job(Record):
    """A request for a video, and its progress.

    `status`: `queued`, `in_progress`, `completed`, `failed` or `canceled`; it never goes backwards.
    `phase`: finer than `status`: `queued`, `submitting`, `submitted` (the upstream works on it), `unknown`
    (the upstream's answer was lost; the gateway looks for the task), `completed`, `failed` or `canceled`.
    There may be more phases one day: decide by `status`. `progress`: 0 to 1, or None. `output`: the videos
    of a completed job; `video_url` is the first one. `assets`: the gateway's copies by variant. `usage`: the
    price as the upstream says it. `cost`: by your gateway, if it knows prices. `request`: what you ordered.
    `error`: why there is no video. `spend`: whether the upstream was paid: `none`, `possible` or `certain`.
    `payload`: your own text (lists leave it out). `queue`: while it waits.
    """

    id: str
    status: str
    phase: str = ""
    progress: float | None = None
    model: str = ""
    created_at: datetime | None = None
    started_at: datetime | None = None
    submitted_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at_estimate: datetime | None = None
    output: tuple[OutputGroup, ...] | None = None
    assets: Mapping[str, Asset] = field(default_factory=dict)
    usage: Mapping[str, Any] | None = None
    cost: Cost | None = None
    metadata: Mapping[str, Any] | None = None
    error: JobError | None = None
    payload: str | None = None
    request: Mapping[str, Any] | None = None
    payload_omitted: bool = False
    callback_url: str | None = None
    warnings: tuple[Warning, ...] = ()
    spend: str = ""
    resubmissions: int = 0
    on_unknown: str | None = None
    unknown_since: datetime | None = None
    start_deadline: datetime | None = None
    total_deadline: datetime | None = None
    cancel: Mapping[str, Any] | None = None
    late_result: Mapping[str, Any] | None = None
    priority: str = "normal"
    queue: Queue | None = None
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        """Whether it is completed, failed or canceled."""
        return self.status in FINAL

    @property
    def video_url(self) -> str | None:
        """The address of the first video: the gateway's own, which does not change, or else the
        upstream's."""
        contents = [content for group in self.output or () for content in group.content]
        return next((one.stable_url or one.url for one in contents if one.url), None)


@dataclass(frozen=True, kw_only=True)
class JobCheck(Record):
    """A check that passed. `upstream_params`: what would be sent to the upstream. `cost`: the estimate."""

    valid: bool = True
    cost: Cost | None = None
    warnings: tuple[Warning, ...] = ()
    upstream_params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TimelineEntry(Record):
    """Something that happened. `text`: for people."""

    at: datetime
    kind: str
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Timeline(Record):
    """Everything that happened to a job. `data`: oldest first. `polls`: how often its task was not
    finished."""

    job: str
    status: str = ""
    polls: int = 0
    data: tuple[TimelineEntry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Link(Record):
    """An address that needs no key. Treat it as a password: it cannot be revoked."""

    url: str
    variant: str = "video"
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Upload(Record):
    """A file that jobs can name: pass it, or its `id`, in `images` or `videos`. `url` means the same, where
    only URLs are allowed. `expires_at`: when it is removed if no job uses it; None while an unfinished job
    holds it."""

    id: str
    bytes: int = 0
    sha256: str = ""
    media_type: str = ""
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    url: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Usage(Record):
    """What your jobs cost. `data`: a line for each group. `sum`: of all. Amounts are decimal texts."""

    currency: str = ""
    data: tuple[Mapping[str, Any], ...] = ()
    sum: Mapping[str, Any] = field(default_factory=dict)
    budgets: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Event(Record):
    """What happened to a job. `id`: of a webhook, its `webhook-id`, by which you notice repeats; in a
    stream, the position to continue from. `type`: such as `job.completed`; pass over types that you do not
    know. `job`: as it was then; None for `gap` (events are missing: get your jobs) and for test events.
    `body`: its bytes."""

    id: str
    type: str
    timestamp: datetime | None = None
    job: Job | None = None
    body: bytes = field(default=b"", repr=False)
