"""The Redis keys that Python uses. The scripts build the others (`scripts/lib/lanes.lua` lists them)."""

from __future__ import annotations

from gateway.dispatch import PREFIX, Role
from gateway.lifecycle import DeliveryState, JobState

COUNTS = f"{PREFIX}counts"
TALLY = f"{PREFIX}tally"
CHANGES = f"{PREFIX}changes"
KEYS = f"{PREFIX}keys"
PAUSED = f"{PREFIX}paused"
TENANTS = f"{PREFIX}tenants"
LIBRARIES = f"{PREFIX}libraries"
#: Of scripts/lib/primary.lua.
PRIMARY, JOURNALS = f"{PREFIX}primary", f"{PREFIX}journals"
#: Written after each batch of calls that replicas must acknowledge.
MARK = f"{PREFIX}mark"
FORMAT = f"{PREFIX}format"
WORKERS = f"{PREFIX}workers"
LEADER = f"{PREFIX}leader"
DISPATCH_WAKE = f"{PREFIX}dispatch:wake"
SWEEP = f"{PREFIX}sweep"
SWEPT = f"{PREFIX}swept"
DEADLINES = f"{PREFIX}deadlines"
AUDIT = f"{PREFIX}audit"
FINISHED = f"{PREFIX}finished"
TIMINGS = f"{PREFIX}timings"
DEAD = f"{PREFIX}dead"
FAILING = f"{PREFIX}deliver:failing"
FAILING_URLS = f"{PREFIX}deliver:failing_urls"
UNKNOWNS = f"{PREFIX}unknowns"
UNKNOWN_STATUSES = f"{PREFIX}unknown_statuses"
OPS_EVENTS = f"{PREFIX}ops:events"
QUARANTINE = f"{PREFIX}quarantine"
HISTORY = f"{PREFIX}history"
CALLBACK_PATH = f"{PREFIX}callbacks:path"
UNANSWERED = f"{PREFIX}unanswered"
ASSETS = f"{PREFIX}assets"
ASSETS_PENDING = f"{PREFIX}assets:pending"
ASSETS_DYING = f"{PREFIX}assets:dying"
ACCOUNT_INFLIGHT = f"{PREFIX}submit:account_inflight"
UPLOAD_EXPIRY = f"{PREFIX}uploads:expiry"
#: Locks of `acquire_leadership`, as SWEEP is.
COPY_EXPIRY, COPY_ORPHANS = f"{PREFIX}assets:expiry", f"{PREFIX}assets:orphans"
RETENTION, UPLOAD_SWEEP = f"{PREFIX}retention", f"{PREFIX}uploads:sweep"
ARCHIVE_MOVE, ARCHIVE_DELETE = f"{PREFIX}archive:move", f"{PREFIX}archive:delete"
ARCHIVE_HOURS = f"{PREFIX}archive:hours"
SPEND_SUM, SPEND_CHECK = f"{PREFIX}spend:sum", f"{PREFIX}spend:check"
LEDGER_MOVE, LEDGER_FORGET = f"{PREFIX}ledger:move", f"{PREFIX}ledger:forget"
ARCHIVE_GONE = f"{PREFIX}archive:gone"
ARCHIVE_SWEPT = f"{PREFIX}archive:swept"
SUSPENSE = f"{PREFIX}suspense"
LEDGER_MOVED = f"{PREFIX}ledger:moved"
LEDGER_SINCE = f"{PREFIX}ledger:since"
LEDGER_CHECKED = f"{PREFIX}ledger:checked"
SPEND = f"{PREFIX}spend"
PRICES = f"{PREFIX}prices"
PRICE_BOOKS = f"{PREFIX}price_books"


def walk(name: str) -> str:
    return f"{PREFIX}finished:{name}"


def walk_later(name: str) -> str:
    return f"{PREFIX}finished:{name}:later"


def account(name: str) -> str:
    return f"{PREFIX}account:{name}"


def job(job_id: str) -> str:
    return f"{PREFIX}job:{job_id}"


def task(task_id: str) -> str:
    return f"{PREFIX}task:{task_id}"


def payload(job_id: str) -> str:
    return f"{PREFIX}job:{job_id}:payload"


def job_audit(job_id: str) -> str:
    return f"{PREFIX}job:{job_id}:audit"


def job_deliveries(job_id: str) -> str:
    return f"{PREFIX}job:{job_id}:deliveries"


def tenant_jobs(tenant: str, state: JobState) -> str:
    return f"{PREFIX}tenant:{tenant}:jobs:{state}"


def tenant_endpoints(tenant: str) -> str:
    return f"{PREFIX}tenant:{tenant}:endpoints"


def tenant_keys(tenant: str) -> str:
    return f"{PREFIX}tenant:{tenant}:keys"


def tenant_settings(tenant: str) -> str:
    return f"{PREFIX}tenant:{tenant}:settings"


def tenant_usage(tenant: str) -> str:
    return f"{PREFIX}tenant:{tenant}:usage"


def balance(tenant: str, period: str) -> str:
    return f"{PREFIX}tenant:{tenant}:balance:{period}"


def ledger(day: str) -> str:
    return f"{PREFIX}ledger:{day}"


def tenant_events(tenant: str) -> str:
    return f"{PREFIX}tenant:{tenant}:events"


def tenant_endpoint_keys(tenant: str) -> str:
    return f"{PREFIX}tenant:{tenant}:endpoint_keys"


def tenant_wanted(tenant: str) -> str:
    return f"{PREFIX}tenant:{tenant}:wanted"


def tenant_deliveries(tenant: str, state: DeliveryState) -> str:
    return f"{PREFIX}tenant:{tenant}:deliveries:{state}"


def lane_deliveries(lane: str, state: DeliveryState) -> str:
    return f"{PREFIX}lane:{lane}:deliveries:{state}"


def endpoint(endpoint_id: str) -> str:
    return f"{PREFIX}endpoint:{endpoint_id}"


def upload(upload_id: str) -> str:
    return f"{PREFIX}upload:{upload_id}"


def tenant_uploads(tenant: str) -> str:
    return f"{PREFIX}tenant:{tenant}:uploads"


def event(event_id: str) -> str:
    return f"{PREFIX}event:{event_id}"


def delivery(delivery_id: str) -> str:
    return f"{PREFIX}delivery:{delivery_id}"


def worker(worker_id: str) -> str:
    return f"{PREFIX}worker:{worker_id}"


def held_by(worker_id: str) -> str:
    return f"{PREFIX}worker:{worker_id}:held"


def client_key(key_id: str) -> str:
    return f"{PREFIX}key:{key_id}"


def key_sessions(key_id: str) -> str:
    return f"{PREFIX}key:{key_id}:sessions"


def session(digest: str) -> str:
    return f"{PREFIX}session:{digest}"


def lane(role: Role, name: str) -> str:
    return f"{PREFIX}{role}:lane:{name}"


def waiting(role: Role) -> str:
    return f"{PREFIX}{role}:waiting"


def slots(role: Role) -> str:
    return f"{PREFIX}{role}:slots"


def in_flight(role: Role) -> str:
    return f"{PREFIX}{role}:inflight"


def caps(role: Role) -> str:
    return f"{PREFIX}{role}:caps"


def weights(role: Role) -> str:
    return f"{PREFIX}{role}:weights"


def due(role: Role) -> str:
    return f"{PREFIX}{role}:due"


def health(lane: str) -> str:
    return f"{PREFIX}health:{lane}"


def probing(role: Role) -> str:
    return f"{PREFIX}{role}:probing"


def pauses(role: Role) -> str:
    return f"{PREFIX}{role}:pauses"


def paused_lanes(role: Role) -> str:
    return f"{PREFIX}{role}:parked"
