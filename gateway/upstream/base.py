"""What the service asks of an upstream, and every answer it must be ready for.

A dialect (`vtrix.py`, `vidu.py`) is pure: our words to its wire format and back. `http.py` is the one door to
the network. `Upstream` is what the workers see of both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, assert_never

#: Awaited when all of a paid request but its last byte has been handed to the network. Raising from
#: it keeps the last byte back for ever: the upstream then holds an incomplete request, which it
#: cannot act on.
Gate = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class UpstreamError:
    """Why the upstream refused or failed: its own `code` (always a string) and its text."""

    code: str
    message: str


class TaskStatus(StrEnum):
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A task as the upstream shows it at one moment.

    `progress`: 0 to 1, when told. `output`: the published groups, `[{"content": [{"type", "url", ...}]}]`.
    `usage`: `{"cost": decimal string in USD, "discount": number}`, when told. `raw_status`: the
    upstream's own word, kept because an unknown one counts as in progress. `reference`: our own mark, where
    the upstream echoes it: a task that echoes another job's is not this job's task.
    """

    task_id: str
    status: TaskStatus
    raw_status: str
    progress: float | None = None
    output: list[dict[str, object]] = field(default_factory=list)
    usage: dict[str, object] | None = None
    metadata: dict[str, object] | None = None
    error: UpstreamError | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The task exists and is (or will be) charged. `snapshot` when the answer already told its state."""

    task_id: str
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Busy:
    """Provably no task: send again later. `retry_after_seconds` when the upstream named a time;
    `reached` is False when the request never arrived (no connection, gate not passed)."""

    reason: str
    retry_after_seconds: float | None = None
    reached: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """The account, not the job, was refused (401, 402, 403): no task; every other job would fare the same."""

    error: UpstreamError
    status: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """No task, and the same request would be refused again: the job has failed."""

    error: UpstreamError


@dataclass(frozen=True, slots=True)
class Unknown:
    """The last byte left and no verdict came back: a task may exist and may have been charged.
    The request must not be sent again before there is evidence."""

    reason: str


SubmitOutcome = Accepted | Busy | Refused | Rejected | Unknown


def reason_of(outcome: SubmitOutcome) -> str | None:
    """The upstream's own words, or what stood in the way."""
    match outcome:
        case Busy() | Unknown():
            return outcome.reason
        case Refused() | Rejected():
            return f"{outcome.error.code}: {outcome.error.message}"
        case Accepted():
            return None
        case _:
            assert_never(outcome)


@dataclass(frozen=True, slots=True)
class Found:
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Missing:
    """404: not visible yet, or lost."""


@dataclass(frozen=True, slots=True)
class Later:
    """No answer that tells anything: ask again."""

    reason: str
    retry_after_seconds: float | None = None


QueryOutcome = Found | Missing | Later


@dataclass(frozen=True, slots=True)
class CancelDone:
    """The upstream stopped the task, or it was stopped before."""


@dataclass(frozen=True, slots=True)
class CancelRefused:
    """The upstream said no (the task is under way, or over): it runs on."""

    reason: str


CancelOutcome = CancelDone | CancelRefused | Missing | Later


@dataclass(frozen=True, slots=True)
class ListedTask:
    """A row of the upstream's list. `created_at`: ms since the epoch, when told. `reference`: our mark, when
    echoed; else `model` and `prompt` are what a task may be known by."""

    task_id: str
    created_at: int | None = None
    reference: str | None = None
    model: str | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Every task of the time asked for. `next_page` is None on the last page (and always from `Upstream`)."""

    tasks: list[ListedTask]
    next_page: str | None = None


@dataclass(frozen=True, slots=True)
class Hint:
    """What a callback's body claims. Unsigned, so never more than a hint; every field may be absent.
    `foreign` is true when the body is in another system's words, so that its task id is not ours to poll.
    `snapshot`: the body as a task, when it is terminal and can be read as one."""

    task_id: str | None = None
    status: TaskStatus | None = None
    foreign: bool = False
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a dialect's upstream can do besides creating and showing tasks."""

    cancel: bool = False
    listing: bool = False


class Dialect(Protocol):
    """One wire format. No I/O, no clock."""

    name: str
    #: Where its vendor serves it.
    home: str
    capabilities: Capabilities

    def create_request(
        self, params: Mapping[str, object], *, model: str, callback_url: str | None, reference: str
    ) -> tuple[str, bytes]:
        """Path and body of the paid POST. `reference` is our own mark, which some upstreams echo."""

    def query_path(self, task_id: str) -> str:
        """Path of the GET that shows a task."""

    def headers(self, key: str) -> dict[str, str]:
        """Authentication of every request."""

    def read_created(self, status: int, headers: Mapping[str, str], body: bytes) -> SubmitOutcome:
        """The verdict on a POST whose answer arrived whole."""

    def read_task(self, status: int, headers: Mapping[str, str], body: bytes) -> QueryOutcome:
        """The verdict on a GET whose answer arrived whole."""

    def read_callback(self, body: bytes) -> Hint:
        """What the callback claims; an empty Hint when it cannot be read. Never raises."""

    def cancel_request(self, task_id: str) -> tuple[str, bytes]:
        """Path and body of the POST that stops a task. Only with `capabilities.cancel`."""

    def read_canceled(self, status: int, headers: Mapping[str, str], body: bytes) -> CancelOutcome:
        """The verdict on a cancel whose answer arrived whole."""

    def list_path(self, since_ms: int, until_ms: int, page: str | None) -> str:
        """Path and query of the GET that lists that time's tasks. Only with `capabilities.listing`."""

    def read_list(self, status: int, headers: Mapping[str, str], body: bytes) -> Listing | Later:
        """One page of the list."""


class Upstream(Protocol):
    """The upstream as the workers see it."""

    capabilities: Capabilities

    async def submit(
        self,
        params: Mapping[str, object],
        *,
        model: str,
        callback_url: str | None,
        reference: str,
        gate: Gate,
    ) -> SubmitOutcome:
        """Create a task, paying for it. Raises only what `gate` raises."""

    async def query(self, task_id: str) -> QueryOutcome:
        """Look at a task. Never raises for anything the upstream does."""

    async def cancel(self, task_id: str) -> CancelOutcome:
        """Stop a task. Safe to repeat. Never raises for anything the upstream does."""

    async def list_tasks(self, since_ms: int, until_ms: int) -> Listing | Later:
        """All tasks made in that time (a bounded number of pages; more than that is `Later`)."""

    async def probe(self, url: str) -> bool:
        """Whether a GET of this URL of our own is answered 2xx: the way by which callbacks come is open."""
