"""What the service asks of an upstream, and every answer it must be ready for.

A dialect (`vtrix.py`) is pure: our words to its wire format and back. `http.py` is the one door to
the network. `Upstream` is what the workers see of both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A task as the upstream shows it at one moment.

    `progress`: 0 to 1, when told. `output`: the published groups, `[{"content": [{"type", "url", ...}]}]`.
    `usage`: `{"cost": decimal string in USD, "discount": number}`, when told. `raw_status`: the
    upstream's own word, kept because an unknown one counts as in progress.
    """

    task_id: str
    status: TaskStatus
    raw_status: str
    progress: float | None = None
    output: list[dict[str, object]] = field(default_factory=list)
    usage: dict[str, object] | None = None
    metadata: dict[str, object] | None = None
    error: UpstreamError | None = None


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
class Hint:
    """What a callback's body claims. Unsigned, so never more than a hint; every field may be absent.
    `foreign` is true when the body is in another system's words, so that its task id is not ours to poll."""

    task_id: str | None = None
    status: TaskStatus | None = None
    foreign: bool = False


class Dialect(Protocol):
    """One wire format. No I/O, no clock."""

    name: str

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


class Upstream(Protocol):
    """The upstream as the workers see it."""

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
