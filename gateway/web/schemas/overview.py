"""Schemas of the overview and of the workers."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from gateway.store.base import AccountState
from gateway.web.alarms import Fault, Severity
from gateway.web.schemas.jobs import Count, Timestamp
from gateway.web.schemas.ops import Amount
from gateway.web.schemas.shape import shape


@shape
class AlarmShown(TypedDict):
    code: str
    """Name of the alert and of its section in docs/operations.md."""
    severity: Severity
    fault: Fault
    """Where the cause is. `load`: tenants post more than the upstream takes."""
    subject: str | None
    """What it is about, if there may be several of this code: the id of a subscriber."""
    text: str
    page: str | None
    """Path of the page where it is mended."""
    runbook: str


@shape
class RoleOverview(TypedDict):
    waiting: Count
    oldest_seconds: Amount
    due: Count
    """Tickets that enter a lane later."""
    overdue_seconds: Amount
    slots_in_use: Count
    slots: Count


@shape
class AccountOverview(TypedDict):
    name: str
    state: AccountState
    paused: bool
    held: bool
    """Whether sending waits for the time that a 429 named."""
    slots: Count
    """Maximum number of tasks it may hold now; `limit` is the configured maximum."""
    limit: Count
    in_flight: Count
    paused_seconds: Amount
    """How long it has been paused."""


@shape
class CallbackOverview(TypedDict):
    expected: bool
    proven_seconds: Amount | None
    """How long ago callbacks were last proven to reach us. null: never yet."""
    seen: Count
    """Number of genuine callbacks since the service was first started."""
    lost: Count
    """Number of finished jobs whose result was found by a poll although callbacks are on."""


@shape
class ReplicaLag(TypedDict):
    """How far a replica is behind. null: unknown, or there is none."""

    bytes: Count | None
    """Of the primary's writes that it has not acknowledged."""
    seconds: Count | None
    """Since it last acknowledged anything, which it does once a second."""


@shape
class ReplicationOverview(TypedDict):
    """The servers of the store, as the primary sees them. null: unknown."""

    mode: str
    """How the primary is found: `one server`, `sentinel` or `cluster`."""
    primary: str | None
    """Its host and port."""
    role: str | None
    """Of the server that answered: `primary` or `replica`."""
    replicas: Count | None
    """Number of replicas that are connected."""
    syncing_replicas: Count | None
    """Number of those that still load their copy of the data."""
    furthest: ReplicaLag
    nearest: ReplicaLag
    replid: str | None
    """Names the history of writes; it changes at a failover."""


@shape
class StorePlace(TypedDict):
    mode: str
    """How the primary is found: `one server`, `sentinel` or `cluster`."""
    primary: str | None
    """Its host and port. null: unknown, such as behind a Unix socket."""


@shape
class Readiness(TypedDict):
    status: Literal["ok"]
    store: StorePlace


@shape
class RedisOverview(TypedDict):
    durable: bool
    memory_bytes: Count
    memory_ratio: Amount
    version: str
    read_ms: Amount
    replication: ReplicationOverview


@shape
class DiskOverview(TypedDict):
    """The disk of files, as the gateway that answers sees it."""

    free_bytes: Count
    needed_bytes: Count
    """With less free, jobs with inline media are refused; with less than half of it, all jobs are."""


@shape
class Overview(TypedDict):
    object: Literal["overview"]
    at: Timestamp
    alarms: list[AlarmShown]
    """Most severe first."""
    roles: dict[str, RoleOverview]
    jobs: dict[str, int]
    """Number of jobs by phase."""
    finished: dict[str, int]
    """Number of finished jobs by outcome, since the service was first started."""
    deliveries: dict[str, int]
    """Number of deliveries by state."""
    accounts: list[AccountOverview]
    paused: bool
    workers: Count
    """Number of worker processes that report."""
    silent_workers: Count
    """Number of those that stopped to report in the last minute: they were killed, or hang."""
    callbacks: CallbackOverview
    paused_subscribers: Count
    failing_subscribers: Count
    """Number of subscribers whose last attempt failed."""
    deliveries_late_seconds: Amount
    """Longest wait of a due delivery to a subscriber that is not paused."""
    unknown_oldest_seconds: Amount
    redis: RedisOverview
    disk: DiskOverview | None


@shape
class Worker(TypedDict):
    object: Literal["worker"]
    id: str
    host: str
    pid: int
    roles: list[str]
    version: str
    started_at: Timestamp
    last_seen_at: Timestamp
    running: Count
    """Number of tasks that it was working on when it last reported."""
    state: Literal["running", "silent"]
    """`silent`: it has not reported for ten seconds: it was killed, or hangs."""


@shape
class WorkerList(TypedDict):
    object: Literal["list"]
    data: list[Worker]
    has_more: bool
    next: str | None
