"""Which lane a job waits in, role by role."""

from __future__ import annotations

from gateway.dispatch import Role, Ticket
from gateway.jobs import Job


def submit_ticket(job: Job) -> Ticket:
    return Ticket(Role.SUBMIT, job.tenant, job.id)


def confirm_ticket(job: Job) -> Ticket:
    return Ticket(Role.CONFIRM, job.account, job.id)
