"""All operators' operations, one entry each. Those on tenants, deliveries and money are elsewhere."""

from __future__ import annotations

from typing import Final

from gateway.tenants import Scope
from gateway.web.api.jobs import AFTER as AFTER_JOB
from gateway.web.api.jobs import LIMIT as JOB_LIMIT
from gateway.web.operation import PUBLIC, Operation, Reply
from gateway.web.ops import accounts, audit, health, jobs, log, overview, prices, queues, service
from gateway.web.ops.delivery_routes import DELIVERIES
from gateway.web.ops.filters import AFTER, BEFORE, LIMIT, TENANT
from gateway.web.ops.money_routes import MONEY
from gateway.web.ops.tenant_routes import TENANTS
from gateway.web.schemas import ops as schemas
from gateway.web.schemas import overview as overview_schemas
from gateway.web.schemas import prices as price_schemas
from gateway.web.schemas import queues as queue_schemas
from gateway.web.schemas.jobs import Health, Timeline
from gateway.web.schemas.overview import Readiness

_READ: Final = (Scope.OPS_READ,)
_WRITE: Final = (Scope.OPS_WRITE,)

_JOBS: Final = (
    Operation(
        "GET", "/ops/api/jobs", "opsListJobs", "List a tenant's jobs, newest first", jobs.page,
        {200: Reply("A page of jobs.", schemas.OpsJobList)},
        _READ, query=(TENANT, jobs.PHASE, AFTER_JOB, JOB_LIMIT),
    ),
    Operation(
        "GET", "/ops/api/jobs/{job_id}", "opsGetJob", "Get a job of any tenant, with its history", jobs.show,
        {200: Reply("The job.", schemas.JobWithHistory)},
        _READ,
    ),
    Operation(
        "GET", "/ops/api/jobs/{job_id}/timeline", "opsGetJobTimeline",
        "Get everything that happened to a job of any tenant", jobs.timeline,
        {200: Reply("The timeline, oldest entry first, with who did what.", Timeline)},
        _READ,
    ),
    Operation(
        "POST", "/ops/api/jobs/{job_id}/cancel", "opsCancelJob", "Cancel a job of any tenant", jobs.cancel,
        {200: Reply("The job: canceled, or to be canceled by the upstream.", schemas.JobWithHistory)},
        _WRITE, problems=(409,),
    ),
    Operation(
        "POST", "/ops/api/jobs/{job_id}/resolve", "opsResolveJob",
        "Resolve a job whose outcome is unknown", jobs.resolve,
        {200: Reply("The job after the decision.", schemas.JobWithHistory)},
        _WRITE, body=schemas.ResolveRequest, problems=(409,),
    ),
    Operation(
        "POST", "/ops/api/jobs/{job_id}/charge", "opsChargeJob",
        "Decide what a finished job in suspense cost", jobs.charge,
        {200: Reply("The job after the decision.", schemas.JobWithHistory)},
        _WRITE, body=schemas.ChargeRequest, problems=(409,),
    ),
    Operation(
        "GET", "/ops/api/unknown", "listUnknownJobs", "List jobs whose outcome is unknown", jobs.unknown,
        {200: Reply("A page, longest unknown first.", schemas.UnknownList)},
        _READ, query=(jobs.UNKNOWN_AFTER, LIMIT),
    ),
)  # fmt: skip

_ACCOUNTS: Final = (
    Operation(
        "GET", "/ops/api/accounts", "listAccounts", "List the upstream's accounts", accounts.page,
        {200: Reply("All accounts, `main` first.", schemas.AccountList)},
        _READ,
    ),
    Operation(
        "GET", "/ops/api/accounts/{account}", "getAccount", "Get an account of the upstream", accounts.show,
        {200: Reply("The account.", schemas.Account)},
        _READ,
    ),
    Operation(
        "POST", "/ops/api/accounts/{account}/pause", "pauseAccount", "Stop sending with an account",
        accounts.pause,
        {200: Reply("The account is paused.", schemas.Account)},
        _WRITE, body=schemas.PauseRequest,
    ),
    Operation(
        "POST", "/ops/api/accounts/{account}/resume", "resumeAccount", "Send with an account again",
        accounts.resume,
        {200: Reply("The account is not paused.", schemas.Account)},
        _WRITE,
    ),
)  # fmt: skip

_PRICES: Final = (
    Operation(
        "GET", "/ops/api/prices", "getPrices", "Get the prices, and with which ones the processes work",
        prices.show,
        {200: Reply("The prices.", price_schemas.Prices)},
        _READ,
    ),
    Operation(
        "PUT", "/ops/api/prices", "replacePrices", "Replace all prices", prices.replace,
        {200: Reply("The new prices.", price_schemas.Prices)},
        _WRITE, body=price_schemas.PricesRequest, problems=(409,),
    ),
)  # fmt: skip

_LOGS: Final = (
    Operation(
        "GET", "/ops/api/events", "listOpsEvents", "List ops events", log.events,
        {200: Reply("A page, oldest first.", schemas.OpsEventList)},
        _READ, query=(AFTER, LIMIT),
    ),
    Operation(
        "GET", "/ops/api/audit", "listAudit", "List the audit: what operators did", audit.page,
        {200: Reply("A page, newest first.", schemas.AuditList)},
        _READ, query=(BEFORE, LIMIT),
    ),
    Operation(
        "GET", "/ops/api/audit.jsonl", "exportAudit", "Export the audit of a time range", audit.export,
        {200: Reply("JSON Lines: one audit entry per line, oldest first.", lines=schemas.AuditEntry)},
        _READ, query=(audit.SINCE, audit.UNTIL),
    ),
    Operation(
        "GET", "/ops/api/jobs.jsonl", "exportJobHistory",
        "Export the history of the jobs that finished in a time range", audit.export_jobs,
        {
            200: Reply(
                "JSON Lines: one entry of a job's history per line, job by job, oldest entry first.",
                lines=schemas.JobHistoryLine,
            )
        },
        _READ, query=(audit.SINCE, audit.UNTIL),
    ),
    Operation(
        "GET", "/ops/api/quarantine", "listQuarantine", "List callbacks that could not be understood",
        log.quarantine,
        {200: Reply("A page, oldest first.", schemas.QuarantineList)},
        _READ, query=(AFTER, LIMIT),
    ),
)  # fmt: skip

_SERVICE: Final = (
    Operation(
        "GET", "/ops/api/overview", "getOverview", "Get an overview of the service", overview.show,
        {200: Reply("Depth, age, slots, counts and alarms.", overview_schemas.Overview)},
        _READ,
    ),
    Operation(
        "GET", "/ops/api/workers", "listWorkers", "List the worker processes", overview.workers,
        {200: Reply("The workers that reported in the last minute.", overview_schemas.WorkerList)},
        _READ,
    ),
    Operation(
        "GET", "/ops/api/lanes", "listLanes", "List the lanes with the longest wait, and paused lanes",
        queues.lanes,
        {200: Reply("Lanes with the longest wait first.", queue_schemas.LaneList)},
        _READ, query=(queues.ROLE, queues.LANES_LIMIT),
    ),
    Operation(
        "GET", "/ops/api/history", "getHistory", "Get the figures of the last minutes", queues.history,
        {200: Reply("Samples, oldest first.", queue_schemas.History)},
        _READ, query=(queues.MINUTES,),
    ),
    Operation(
        "GET", "/ops/api/state", "getServiceState", "Get the state of the service",
        service.show,
        {200: Reply("The state over all processes.", schemas.ServiceState)},
        _READ,
    ),
    Operation(
        "POST", "/ops/api/pause", "pauseService", "Stop sending jobs to the upstream", service.pause,
        {200: Reply("The service is paused.", schemas.ServiceState)},
        _WRITE, body=schemas.PauseRequest,
    ),
    Operation(
        "POST", "/ops/api/resume", "resumeService", "Send jobs to the upstream again", service.resume,
        {200: Reply("The service is not paused.", schemas.ServiceState)},
        _WRITE,
    ),
)  # fmt: skip

_HEALTH: Final = (
    Operation(
        "GET", "/livez", "getLiveness", "Check whether the process runs", health.live,
        {200: Reply("The process runs.", Health)},
        PUBLIC, tag="operations",
    ),
    Operation(
        "GET", "/readyz", "getReadiness", "Check whether jobs can be accepted", health.ready,
        {200: Reply("Jobs can be accepted.", Readiness)},
        PUBLIC, tag="operations", problems=(503,),
    ),
    Operation(
        "GET", "/metrics", "getMetrics", "Get the metrics, for Prometheus", health.show_metrics,
        {200: Reply("Metrics.", {"type": "string"}, media_type="text/plain")},
        PUBLIC, tag="operations", problems=(429,),
    ),
)  # fmt: skip
OPS: Final[tuple[Operation, ...]] = (
    *_JOBS,
    *DELIVERIES,
    *TENANTS,
    *MONEY,
    *_ACCOUNTS,
    *_PRICES,
    *_LOGS,
    *_SERVICE,
    *_HEALTH,
)
