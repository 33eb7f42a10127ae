"""The interface of an upstream: the requests that the gateway sends, and every outcome it must handle.

A dialect (`vtrix.py`, `vidu.py`) translates between our types and one wire format; it does no I/O. Only
`http.py` uses the network. The workers see both through the protocol `Upstream`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, assert_never

from gateway.errors import Notice

#: Awaited when a paid request has been sent except for its last byte. If it raises, the last byte is never
#: sent: the upstream holds an incomplete request and cannot act on it.
Gate = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class UpstreamError:
    """Why the upstream refused a request or failed a task: its own `code` (always a string) and text."""

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

    `other_id`: what the document names as `task_id`, if its `id` is another one. `progress`: 0 to 1, if the
    upstream sent it. `output`: the published groups, `[{"content": [{"type", "url", ...}]}]`. `usage`:
    `{"cost": decimal string in USD, "discount": number}`, if sent. `raw_status`: the upstream's own word.
    `understood`: False if nobody knows that word; the task then counts as in progress. `error`: why it failed
    or was canceled, or what was said beside such a word. `reference`: our own mark, if the upstream echoes
    it; a task with another job's mark is not this job's. `warnings`: what the job's owner should know about
    the result.
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
    understood: bool = True
    warnings: Sequence[Notice] = ()
    other_id: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The task exists and is (or will be) charged. `snapshot`: its state, if the answer already shows it."""

    task_id: str
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Busy:
    """There is certainly no task, and the same request may succeed later.

    `retry_after_seconds`: the wait that the upstream asked for, if any. `reached`: False if the complete
    request never arrived (no connection, or the gate was not passed).
    """

    reason: str
    retry_after_seconds: float | None = None
    reached: bool = True


@dataclass(frozen=True, slots=True)
class AccountRefused:
    """The upstream refused the account, not the job (401, 402, 403). There is no task, and every other job
    sent with this account would be refused as well."""

    error: UpstreamError
    status: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """There is no task, and the same request would be refused again: the job has failed."""

    error: UpstreamError


@dataclass(frozen=True, slots=True)
class Unknown:
    """The last byte was sent, but no clear answer came back: a task may exist and may have been charged.
    Do not send the request again without evidence that there is no task."""

    reason: str


SubmitOutcome = Accepted | Busy | AccountRefused | Rejected | Unknown


def reason_of(outcome: SubmitOutcome) -> str | None:
    """The upstream's own reason, or what went wrong on the way; None if the task was accepted."""
    match outcome:
        case Busy() | Unknown():
            return outcome.reason
        case AccountRefused() | Rejected():
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
    """404: the task is not visible yet, or it is lost."""


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """There was no answer, or none that says anything about the task: ask again later. `unreadable`: the
    upstream answered with success, but we found no task in it."""

    reason: str
    retry_after_seconds: float | None = None
    unreadable: bool = False


QueryOutcome = Found | Missing | Inconclusive


@dataclass(frozen=True, slots=True)
class CancelDone:
    """The upstream stopped the task now, or had stopped it before."""


@dataclass(frozen=True, slots=True)
class CancelRefused:
    """The upstream did not stop the task, because it is running or finished."""

    reason: str


CancelOutcome = CancelDone | CancelRefused | Missing | Inconclusive


@dataclass(frozen=True, slots=True)
class ListedTask:
    """A row of the upstream's task list.

    `created_at`: ms since the epoch, if sent. `reference`: our mark, if echoed. Without a mark, only `model`
    and `prompt` can identify a task.
    """

    task_id: str
    created_at: int | None = None
    reference: str | None = None
    model: str | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The tasks created in the requested time range. `next_page` is None on the last page, and always None
    from `Upstream`, which reads all pages."""

    tasks: list[ListedTask]
    next_page: str | None = None


@dataclass(frozen=True, slots=True)
class Hint:
    """What a callback's body reports. The body is not signed, so it is never more than a hint.

    Every field may be absent. `foreign`: True if the body has another system's format; its task id is then
    not one that we can poll. `snapshot`: the task, if the body shows one in a final state.
    """

    task_id: str | None = None
    status: TaskStatus | None = None
    foreign: bool = False
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an upstream can do besides creating and showing tasks. `marks`: a poll shows our own mark."""

    cancel: bool = False
    listing: bool = False
    marks: bool = False


class Dialect(Protocol):
    """One wire format. No I/O, no clock."""

    name: str
    #: The vendor's own base URL.
    home: str
    capabilities: Capabilities

    def create_request(
        self, params: Mapping[str, object], *, model: str, callback_url: str | None, reference: str
    ) -> tuple[str, bytes]:
        """Path and body of the paid POST. `reference`: our own mark, which some upstreams echo."""

    def query_path(self, task_id: str) -> str:
        """Path of the GET that shows a task."""

    def headers(self, key: str) -> dict[str, str]:
        """The authentication headers of every request."""

    def read_created(self, status: int, headers: Mapping[str, str], body: bytes) -> SubmitOutcome:
        """The outcome of a create request whose answer arrived complete."""

    def read_task(self, status: int, headers: Mapping[str, str], body: bytes) -> QueryOutcome:
        """The outcome of a poll whose answer arrived complete."""

    def read_callback(self, body: bytes) -> Hint:
        """What the callback reports; an empty `Hint` if it cannot be read. Never raises."""

    def cancel_request(self, task_id: str) -> tuple[str, bytes]:
        """Path and body of the POST that stops a task. Only with `capabilities.cancel`."""

    def read_canceled(self, status: int, headers: Mapping[str, str], body: bytes) -> CancelOutcome:
        """The outcome of a cancel request whose answer arrived complete."""

    def list_path(self, since_ms: int, until_ms: int, page: str | None) -> str:
        """Path and query of the GET that lists the tasks created in a time range. Only with
        `capabilities.listing`."""

    def read_list(self, status: int, headers: Mapping[str, str], body: bytes) -> Listing | Inconclusive:
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
        """Creates a task and pays for it. Raises only what `gate` raises."""

    async def query(self, task_id: str) -> QueryOutcome:
        """Polls a task. Never raises for anything the upstream does."""

    async def cancel(self, task_id: str) -> CancelOutcome:
        """Stops a task. Safe to repeat. Never raises for anything the upstream does."""

    async def list_tasks(self, since_ms: int, until_ms: int) -> Listing | Inconclusive:
        """All tasks created in that time range. `Inconclusive` if there are more pages than the limit."""

    async def probe(self, url: str) -> bool:
        """Whether a GET of this URL, one of our own, is answered with 2xx: if so, callbacks can reach us."""
