"""Deliveries on Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from gateway.dispatch import Role, Ticket
from gateway.endpoints import Delivery, Endpoint, shortened
from gateway.events import Event, EventType
from gateway.lifecycle import DeliveryEvent, DeliveryState
from gateway.store import arguments, delivery_log, event_bodies, keys
from gateway.store.archive_reader import NO_ARCHIVE, Archived
from gateway.store.archived_deliveries import ArchivedDeliveries
from gateway.store.base import Outcome, TransitionResult
from gateway.store.client import store_errors
from gateway.store.delivery_base import DeliveryPage, DeliveryQuery, Hindrance
from gateway.store.delivery_effects import JudgeLane, WriteLog
from gateway.store.effect_base import Effect, given, owed
from gateway.store.effects import AuditEntry, Finish, GiveBackSlot, SetFields, Tally, UnsetFields
from gateway.store.endpoints import endpoint_from
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Guard, Transition

#: All fields of a delivery except its log.
_SUMMARY: Final = (
    "state",
    "event_id",
    "event_type",
    "tenant",
    "job_id",
    "lane",
    "created_at",
    "endpoint_id",
    "url",
    "attempts",
    "since",
    "round_at",
    "trigger",
    "next_attempt_at",
)

_PREFIX: Final = "dlv_"
#: What is read with a delivery: {field: prefix of the key of the record that it names}, as a flat list.
_RELATED: Final = ("event_id", "event:", "endpoint_id", "endpoint:")


class RedisDeliveryStore:
    """`DeliveryStore` on Redis. `bytes_max`: bytes that one tenant may take there; above, the logs of its
    attempts keep only the newest one. None: no limit."""

    def __init__(
        self,
        redis: Redis,
        scripts: Scripts,
        roles: arguments.Roles,
        bytes_max: int | None = None,
        archived: Archived = NO_ARCHIVE,
    ) -> None:
        self._redis = redis
        self._past = ArchivedDeliveries(redis, scripts, archived)
        self._bytes_max = bytes_max
        self._scripts = scripts
        self._roles = roles

    async def begin(self, ticket: Ticket) -> tuple[Delivery, bytes | None, Endpoint | None] | None:
        if ticket.begun is not None:
            await self._scripts.passed("begin_delivery")
            found = ticket.begun
        else:
            lease = self._roles[Role.DELIVER].lease_ms
            args: list[str | int] = [ticket.role, str(ticket), ticket.dispatch_number, lease, *_RELATED]
            name = keys.delivery(ticket.name)
            found = await self._scripts.run("begin", [name], args, effect="begin_delivery")
        if not found or not found[0]:
            return None
        fields, event = arguments.pairs(found[0]), arguments.pairs(found[1])
        if not event:
            event = {**await self._past.event(fields["job_id"], fields["event_id"])}
        fields.pop("next_attempt_at", None)
        delivery = delivery_from(ticket.name, fields, event.get("trace"))
        endpoint = endpoint_from(arguments.pairs(found[2])) if found[2] else None
        return delivery, event_bodies.load(event), endpoint

    def terms(self) -> dict[Role, bytes]:
        """How claim_arq_jobs.lua begins the work of the deliver role."""
        deliver = {
            "role": Role.DELIVER,
            "record": "delivery:",
            "lease_ms": self._roles[Role.DELIVER].lease_ms,
            "related": _RELATED,
        }
        return {Role.DELIVER: arguments.dump(deliver)}

    async def finish(
        self,
        ticket: Ticket,
        delivery: Delivery,
        event: DeliveryEvent,
        *,
        retry_in_ms: int | None,
        tally: Sequence[str],
        health_ok: bool | None = None,
    ) -> TransitionResult:
        fields: dict[str, object] = {
            "attempts": delivery.attempts,
            "next_attempt_at": delivery.next_attempt_at,
        }
        newest = [shortened(entry) for entry in delivery.log[-1:]]
        short = None if newest == delivery.log else delivery_log.dump(newest)
        log = WriteLog(delivery_log.dump(delivery.log), short, self._bytes_max)
        effects: list[Effect] = [SetFields(fields), log, Tally(tally)]
        effects.append(Finish([ticket]) if retry_in_ms is None else GiveBackSlot(retry_in_ms))
        if delivery.next_attempt_at is None:
            effects.append(UnsetFields(["next_attempt_at"]))
        if health_ok is not None:
            error = ("", "") if health_ok else delivery_log.last_error(delivery)
            effects.append(JudgeLane(delivery.lane, delivery.endpoint_id, delivery.tenant, health_ok, *error))
        transition = Transition(event, Guard.held_by(ticket), effects)
        document = arguments.delivery_transition(ticket.lane, delivery.id, transition, self._roles)
        outcome, before, after, _ = await self._scripts.run(
            "transition", [keys.delivery(delivery.id)], [arguments.dump(document), b""], effect=event
        )
        return TransitionResult(Outcome(outcome), before, after)

    async def of_job(self, job_id: str) -> list[Delivery]:
        """All deliveries of a job, in any state. Raises MediaStoreUnavailable."""
        found = await self._past.completed(job_id, await self._names_of(job_id))
        return [delivery_from(name, fields) for name, fields in found]

    async def _names_of(self, job_id: str) -> list[str]:
        """The ids of a job's deliveries. They are stored without their prefix, but older ones with it."""
        with store_errors():
            found: set[str] = await self._redis.smembers(keys.job_deliveries(job_id))  # type: ignore[misc]
        return sorted(name if name.startswith(_PREFIX) else _PREFIX + name for name in found)

    async def read(self, tenant: str, delivery_id: str) -> Delivery | None:
        found = await self.find(delivery_id)
        return found if found and found.tenant == tenant else None

    async def find(self, delivery_id: str) -> Delivery | None:
        """The delivery, of any tenant. Raises MediaStoreUnavailable."""
        with store_errors():
            fields: dict[str, str] = await self._redis.hgetall(keys.delivery(delivery_id))  # type: ignore[misc]
        if not fields:
            return None
        found = await self._past.completed(fields["job_id"], [delivery_id])
        return delivery_from(*found[0]) if found else None

    async def page(self, query: DeliveryQuery) -> DeliveryPage:
        if query.job_id is not None:
            named = await self._names_of(query.job_id)
            mine = [one for one in await self._read_all(named) if one.tenant == query.tenant]
            return self._of(query, mine)
        top: str | int = "+inf" if query.after is None else query.after.created_at
        found: list[Delivery] = []
        count, skip, more = query.limit + 1, 0, True
        # Read again while entries are dropped: those of the same millisecond as `after` that are not older.
        while more and len(found) < count:
            lists = await self._newest(query, top, skip, count)
            names = [name for names in lists for name in names]
            found += [one for one in await self._read_all(names) if _is_after(query, one)]
            skip, more = skip + count, any(len(names) == count for names in lists)
        return self._of(query, found)

    async def dead(self, skip: int, limit: int) -> tuple[list[Delivery], bool]:
        """Dead deliveries of all tenants, newest first and without logs; and whether more follow."""
        with store_errors():
            names: list[str] = await self._redis.zrevrange(keys.DEAD, skip, skip + limit)
        return await self._read_all(names[:limit]), len(names) > limit

    def _of(self, query: DeliveryQuery, found: Sequence[Delivery]) -> DeliveryPage:
        wanted = [
            one
            for one in found
            if one.state in query.states and query.lane in (None, one.lane) and _is_after(query, one)
        ]
        wanted.sort(key=_age, reverse=True)
        return DeliveryPage(wanted[: query.limit], len(wanted) > query.limit)

    async def _newest(self, query: DeliveryQuery, top: str | int, skip: int, count: int) -> list[list[str]]:
        """For each state of the query, up to `count` delivery ids, starting with the `skip`-th."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for state in query.states:
                    if query.lane is None:
                        index = keys.tenant_deliveries(query.tenant, state)
                    else:
                        index = keys.lane_deliveries(query.lane, state)
                    pipe.zrevrangebyscore(index, top, "-inf", skip, count)
                lists: list[list[str]] = await pipe.execute()
        return lists

    async def _read_all(self, names: Sequence[str]) -> list[Delivery]:
        """The deliveries without their logs, which may be long."""
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hmget(keys.delivery(name), list(_SUMMARY))
                found: list[list[str | None]] = await pipe.execute()
        return [
            delivery_from(name, {field: text for field, text in zip(_SUMMARY, values, strict=True) if text})
            for name, values in zip(names, found, strict=True)
            if values[0]
        ]

    async def redeliver(
        self, delivery: Delivery, asked: str, audit: AuditEntry | None = None
    ) -> Delivery | Hindrance:
        [hindrance], record = await self._redeliver([delivery], asked, audit, read=True)
        return hindrance or delivery_from(delivery.id, record)

    async def redeliver_all(
        self, deliveries: Sequence[Delivery], asked: str, audit: AuditEntry
    ) -> list[Hindrance | None]:
        """The same for several deliveries in one step: for each, what prevented it, or None."""
        return (await self._redeliver(deliveries, asked, audit, read=False))[0]

    async def _redeliver(
        self, deliveries: Sequence[Delivery], asked: str, audit: AuditEntry | None, *, read: bool
    ) -> tuple[list[Hindrance | None], dict[str, str]]:
        order: dict[str, Any] = {
            "transition": arguments.new_round("", self._roles),
            "asked": asked,
            "trigger": "manual",
            "read": read,
            "deliveries": [
                given(
                    name=one.id,
                    ticket=str(Ticket(Role.DELIVER, one.lane, one.id)),
                    endpoint=one.endpoint_id,
                )
                for one in deliveries
            ],
        }
        if audit is not None:
            order["audit"] = audit.document()
        outcomes, record = await self._scripts.run("redeliver", [keys.DEAD], [arguments.dump(order)])
        hindrances = [None if outcome == "begun" else Hindrance(outcome) for outcome in outcomes]
        return hindrances, arguments.pairs(record)

    async def make(
        self,
        ticket: Ticket,
        event: Event | None,
        callback_url: str | None = None,
        told: Event | None = None,
    ) -> None:
        order: dict[str, Any] = {
            "holder": arguments.holder(ticket),
            "dispatch": arguments.limits_of(self._roles, Role.DELIVER),
        }
        if event is not None:
            order["owed"] = owed(event, callback_url, told)
        name, body = "none", b""
        if event is not None:
            name, body = event.id, event_bodies.dump(event.body, packed=self._scripts.alone)
        await self._scripts.run(
            "create_event", [keys.event(name)], [arguments.dump(order), body], effect="make_event"
        )


def _age(delivery: Delivery) -> tuple[int, str]:
    """The sort key, as in the indexes: the highest is shown first."""
    return (delivery.created_at, delivery.id)


def _is_after(query: DeliveryQuery, delivery: Delivery) -> bool:
    return query.after is None or _age(delivery) < _age(query.after)


def delivery_from(name: str, fields: Mapping[str, str], trace: str | None = None) -> Delivery:
    return Delivery(
        id=name,
        state=DeliveryState(fields["state"]),
        event_id=fields["event_id"],
        event_type=EventType(fields["event_type"]),
        tenant=fields["tenant"],
        job_id=fields["job_id"],
        lane=fields["lane"],
        created_at=int(fields["created_at"]),
        endpoint_id=fields.get("endpoint_id"),
        url=fields.get("url"),
        attempts=int(fields.get("attempts", 0)),
        since=int(fields.get("since", 0)),
        round_at=int(fields["round_at"]) if "round_at" in fields else None,
        trigger=fields.get("trigger", "auto"),
        next_attempt_at=int(fields["next_attempt_at"]) if "next_attempt_at" in fields else None,
        log=delivery_log.load(fields["log"]) if "log" in fields else [],
        trace=trace,
    )
