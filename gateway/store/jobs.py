"""Jobs on Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from redis.asyncio import Redis

from gateway.dispatch import PREFIX, CallbackLimits, Role, Ticket
from gateway.jobs import Job, submit_ticket
from gateway.lifecycle import FINAL, JobEvent, JobState, OnUnknown
from gateway.store import arguments, event_bodies, keys
from gateway.store.admission import Admissions, queue_position_of
from gateway.store.archive_reader import FIELD, NO_ARCHIVE, Archived
from gateway.store.base import (
    Callback,
    CallbackOutcome,
    Outcome,
    QueuePosition,
    TransitionResult,
    Witness,
)
from gateway.store.client import store_errors
from gateway.store.effect_base import kind_of_video, texts
from gateway.store.effects import AddLateResult, AddToFields, Claim, HoldSlot, OweEvent, UnsetFields
from gateway.store.job_fields import from_fields
from gateway.store.job_pages import read_page
from gateway.store.paging import EVER, JobQuery, Made, Page
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Guard, Transition

_UNREADABLE_MS = 3_600_000  # until it is read again


class RedisJobStore(Admissions):
    """`JobStore` on Redis. The scripts use Redis' own clock for leases and due times."""

    def __init__(
        self,
        redis: Redis,
        scripts: Scripts,
        roles: arguments.Roles,
        callbacks: CallbackLimits,
        archived: Archived = NO_ARCHIVE,
    ) -> None:
        super().__init__(scripts, roles)
        self._archived = archived
        self._redis = redis
        self._roles = roles
        self._callbacks = callbacks

    async def read(self, job_id: str) -> Job | None:
        fields = await self._fields(job_id)
        fields = await self._archived.whole(job_id, fields)
        return from_fields(job_id, fields) if fields else None

    async def read_kept(self, job_id: str) -> Job | None:
        fields = await self._fields(job_id)
        return from_fields(job_id, fields) if fields else None

    async def _fields(self, job_id: str) -> Mapping[str, str]:
        with store_errors():
            found: dict[str, str] = await self._redis.hgetall(keys.job(job_id))  # type: ignore[misc]
        return found

    async def trace_of(self, job_id: str) -> str | None:
        """The traceparent that the job was posted with."""
        with store_errors():
            found: str | None = await self._redis.hget(keys.job(job_id), "trace")  # type: ignore[misc]
        return found

    async def payload(self, job: Job) -> str | None:
        if not job.payload_characters:
            return None if job.payload_characters is None else ""
        with store_errors():
            found: str | None = await self._redis.get(keys.payload(job.id))
            if found is not None:
                return found
            digest = await self._redis.hget(keys.job(job.id), FIELD)  # type: ignore[misc]
        return None if digest is None else await self._archived.payload(job.id, digest)

    async def queue_positions(self, jobs: Sequence[Job]) -> list[QueuePosition | None]:
        waiting = [job for job in jobs if job.state is JobState.QUEUED]
        if not waiting:
            return [None] * len(jobs)
        words = [word for job in waiting for word in (str(submit_ticket(job)), kind_of_video(job))]
        accounts = arguments.dump(arguments.accounts_of(self._roles[Role.SUBMIT]))
        found = await self._scripts.run(
            "queue_positions", [keys.lane(Role.SUBMIT, "any")], [accounts, *words]
        )
        positions = {
            job.id: queue_position_of(position, self._roles[Role.SUBMIT])
            for job, position in zip(waiting, found, strict=True)
        }
        return [positions.get(job.id) for job in jobs]

    async def page(
        self,
        tenant: str,
        states: Sequence[JobState],
        after: str | None,
        limit: int,
        made: Made = EVER,
        *,
        oldest_first: bool = False,
    ) -> Page:
        query = JobQuery(tenant, states, after, limit, made, oldest_first)
        return await read_page(self._redis, self._archived, query)

    async def unfinished(self, job_ids: Sequence[str]) -> set[str]:
        """Those of these jobs that exist and are not final."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in job_ids:
                    pipe.hget(keys.job(job_id), "state")
                states: list[str | None] = await pipe.execute()
        return {
            job_id
            for job_id, state in zip(job_ids, states, strict=True)
            if state and JobState(state) not in FINAL
        }

    async def apply(self, job: Job, transition: Transition) -> TransitionResult:
        result, _ = await self._apply(job, transition, read=False)
        return result

    async def _apply(
        self, job: Job, transition: Transition, *, read: bool
    ) -> tuple[TransitionResult, Job | None]:
        document = arguments.job_transition(job, transition, self._roles) | {"read": read}
        owing = transition.find(OweEvent) or transition.find(AddLateResult)
        body = event_bodies.dump(owing.event.body, packed=self._scripts.alone) if owing else b""
        outcome, before, after, flat = await self._scripts.run(
            "transition", [keys.job(job.id)], [arguments.dump(document), body], effect=transition.event
        )
        result = TransitionResult(Outcome(outcome), before, after)
        return result, from_fields(job.id, arguments.pairs(flat)) if flat else None

    async def claim(self, ticket: Ticket, run: str | None = None) -> Job | None:
        if ticket.begun is not None:
            await self._scripts.passed(JobEvent.CLAIMED)
            outcome, _, _, flat = ticket.begun
            return from_fields(ticket.name, arguments.pairs(flat)) if outcome == Outcome.MOVED else None
        placeholder = Job(ticket.name, ticket.lane, JobState.QUEUED, "", {}, 0)
        claiming = self._claiming(ticket)
        transition = claiming if run is None else claiming.also(self._claim(run))
        result, job = await self._apply(placeholder, transition, read=True)
        return job if result.outcome is Outcome.MOVED else None

    def _claim(self, run: str) -> Claim:
        return Claim(run, self._roles[Role.SUBMIT].failover)

    def _claiming(self, ticket: Ticket) -> Transition:
        return Transition(
            JobEvent.CLAIMED,
            Guard.held_by(ticket),
            [
                AddToFields({"epoch": 1}),
                UnsetFields(["released_at", "evidence"]),
                HoldSlot(self._roles[Role.SUBMIT].lease_ms),
            ],
        )

    def terms(self) -> dict[Role, bytes]:
        """How claim_arq_jobs.lua begins the work of the roles that work on jobs."""
        nobody = Job("", "", JobState.QUEUED, "", {}, 0)
        claiming = self._claiming(Ticket(Role.SUBMIT, "", "")).also(self._claim(""))
        confirm = {
            "role": Role.CONFIRM,
            "record": "job:",
            "lease_ms": self._roles[Role.CONFIRM].lease_ms,
            "related": [],
        }
        submit = {
            "record": "job:",
            "transition": arguments.job_transition(nobody, claiming, self._roles),
        }
        return {Role.SUBMIT: arguments.dump(submit), Role.CONFIRM: arguments.dump(confirm)}

    async def release(self, job: Job) -> bool:
        answer = await self._scripts.run(
            "release", [keys.job(job.id)], [JobState.SUBMITTING, job.epoch, job.run or ""]
        )
        return bool(answer == 1)

    async def begin_confirm(self, ticket: Ticket) -> Job | None:
        if ticket.begun is not None:
            await self._scripts.passed("begin_confirm")
            found = ticket.begun
        else:
            lease = self._roles[Role.CONFIRM].lease_ms
            args: list[str | int] = [ticket.role, str(ticket), ticket.dispatch_number, lease]
            found = await self._scripts.run("begin", [keys.job(ticket.name)], args, effect="begin_confirm")
        if not found or not found[0]:
            return None
        return from_fields(ticket.name, arguments.pairs(found[0]))

    async def postpone(self, ticket: Ticket, in_ms: int, fields: dict[str, object]) -> None:
        await self._postpone(ticket, in_ms, "0", fields)

    async def drop(self, ticket: Ticket) -> None:
        await self._postpone(ticket, 0, "1", {})

    async def _postpone(self, ticket: Ticket, in_ms: int, leave: str, fields: dict[str, object]) -> None:
        flat = [part for field in texts(**fields).items() for part in field]
        limits = arguments.dump(arguments.limits_of(self._roles, ticket.role))
        await self._scripts.run(
            "postpone",
            [keys.job(ticket.name)],
            [ticket.role, str(ticket), ticket.dispatch_number, in_ms, leave, limits, *flat],
        )

    async def renew(self, ticket: Ticket) -> bool:
        lease = self._roles[ticket.role].lease_ms
        found = await self._scripts.run(
            "begin",
            [f"{PREFIX}none"],
            [ticket.role, str(ticket), ticket.dispatch_number, lease],
            effect="renew",
        )
        return bool(found)

    async def callback(self, callback: Callback) -> CallbackOutcome:
        args = arguments.callback_args(callback, self._roles, self._callbacks)
        found = await self._scripts.run(
            "callback", [keys.job(callback.job_id)], [arguments.dump(args), callback.raw]
        )
        return CallbackOutcome(found)

    async def trust_report(self, job: Job, *, marked: bool = False) -> bool:
        records = [keys.job(job.id), keys.UNANSWERED]
        args = [job.task_id or "", "1" if marked else "0"]
        return bool(await self._scripts.run("trust_report", records, args))

    async def report_journal(self, process: str, failovers: int, *, leaves: bool = False) -> int:
        args: list[str | int] = [process, "1" if leaves else "0", failovers]
        return int(await self._scripts.run("report_journal", [keys.JOURNALS], args))

    async def note_callback_path(self) -> None:
        await self._scripts.run("note_callback_path", [keys.CALLBACK_PATH], [self._callbacks.gap_ms])

    async def begin_callback_probe(self, every_seconds: float) -> float:
        args = [int(every_seconds * 1000)]
        return int(await self._scripts.run("begin_callback_probe", [keys.CALLBACK_PATH], args)) / 1000

    async def witness(self) -> Witness:
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.hmget(keys.CALLBACK_PATH, ["since", "last"])
                (seconds, microseconds), found = await pipe.execute()
        since, last = (int(value) if value else None for value in found)
        return Witness(seconds * 1000 + microseconds // 1000, since, last)

    async def note_unknown_status(self, job: Job, word: str, error: str) -> bool:
        names = [keys.UNKNOWN_STATUSES]
        return bool(await self._scripts.run("note_unknown_status", names, [word, error, job.id, job.account]))

    async def on_unknown(self, job: Job) -> OnUnknown | None:
        if job.on_unknown is not None:
            return job.on_unknown
        with store_errors():
            found = await self._redis.hget(keys.tenant_settings(job.tenant), "on_unknown")  # type: ignore[misc]
        return OnUnknown(found) if found else None

    async def overdue(self, limit: int) -> list[Job]:
        with store_errors():
            seconds, _ = await self._redis.time()
            names = await self._redis.zrangebyscore(keys.DEADLINES, "-inf", seconds * 1000, 0, limit)
            found = {name: await self._read_if_readable(name, seconds * 1000) for name in names}
            gone = [
                name for name, (job, readable) in found.items() if readable and (job is None or job.final)
            ]
            if gone:
                await self._redis.zrem(keys.DEADLINES, *gone)
        return [job for job, _ in found.values() if job is not None and not job.final]

    async def _read_if_readable(self, name: str, now: int) -> tuple[Job | None, bool]:
        """The job, and whether its record is readable: one that is not must not stop all others."""
        try:
            return await self.read_kept(name), True
        except (ValueError, KeyError, TypeError):
            structlog.get_logger().exception("record_unreadable", job=name)
            await self._scripts.run("defer_deadline", [keys.DEADLINES], [name, now + _UNREADABLE_MS])
            return None, False

    async def defer_deadline(self, job: Job, until_ms: int) -> None:
        await self._scripts.run("defer_deadline", [keys.DEADLINES], [job.id, until_ms])
