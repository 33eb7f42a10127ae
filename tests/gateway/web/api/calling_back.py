"""What tests of callbacks share: a job that waits for one, its address, and what the store gets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.callbacks import tokens
from gateway.dispatch import Role
from gateway.jobs import Job, confirm_ticket, submit_ticket
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.base import Callback, CallbackOutcome
from gateway.web.state import State
from tests.gateway.web.conftest import BODY

COMPLETED = {"id": "task-1", "status": "completed", "output": [{"content": [{"type": "video", "url": "x"}]}]}


async def submitting(client: httpx.AsyncClient, resources: Resources) -> Job:
    """A job that a worker has sent, its answer from the upstream still on the way."""
    job_id = (await client.post("/v1/jobs", json=BODY)).json()["id"]
    job = await resources.jobs.read(job_id)
    assert job is not None
    held = await resources.redis.hget(f"{{gw}}:{Role.SUBMIT}:holders", str(submit_ticket(job)))  # type: ignore[misc]
    claimed = await resources.jobs.claim(replace(submit_ticket(job), dispatch_number=int(held)))
    assert claimed is not None
    assert await resources.jobs.release(claimed)
    return claimed


def path(resources: Resources, job: Job, epoch: int | None = None) -> str:
    token = tokens.make(resources.keyring, job.tenant, job.id, job.epoch if epoch is None else epoch)
    return f"/callbacks/{token}"


async def state_of(resources: Resources, job: Job) -> Job:
    found = await resources.jobs.read(job.id)
    assert found is not None
    return found


async def is_to_be_confirmed(resources: Resources, job: Job) -> bool:
    """Handed to the confirm role at once."""
    slot: Any = await resources.redis.zscore(keys.slots(Role.CONFIRM), str(confirm_ticket(job)))
    return slot is not None


def given_to_the_store(state: State, monkeypatch: pytest.MonkeyPatch) -> list[Callback]:
    """Every callback from now on, as the store gets it; the store acts on it all the same."""
    taken: list[Callback] = []
    real = state.resources.jobs.callback

    async def callback(given: Callback) -> CallbackOutcome:
        taken.append(given)
        return await real(given)

    monkeypatch.setattr(state.resources.jobs, "callback", callback)
    return taken
