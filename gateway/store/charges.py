"""What operators decide about money in suspense."""

from __future__ import annotations

from gateway.errors import Conflict
from gateway.jobs import Job
from gateway.lifecycle import JobState
from gateway.money.amounts import to_text
from gateway.store import arguments, keys
from gateway.store.effects import AuditEntry
from gateway.store.script_runner import Scripts


class RedisCharges:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def decide(self, job: Job, amount: int, reason: str, by: str) -> None:
        """The finished job cost `amount` micro-units; the rest of what is in suspense is free again. `by`:
        the operator's key. Raises Conflict if nothing is in suspense for it."""
        fields = {"job": job.id, "tenant": job.tenant, "amount": to_text(amount), "reason": reason}
        audit = AuditEntry("job_charged", by, fields).document() | {"why": reason}
        args: list[str | bytes] = [str(amount), JobState.COMPLETED, arguments.dump(audit)]
        if not await self._scripts.run("charge", [keys.job(job.id)], args):
            raise Conflict("nothing is in suspense for this job, so there is nothing to decide")
