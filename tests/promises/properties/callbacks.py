"""What the documents say of a callback whose token is genuine."""

from __future__ import annotations

from gateway.store.base import Callback
from tests.promises.properties.model import Epoch, Model, ModelJob


def happens(model: Model, callback: Callback, born: int, now: int) -> str:
    """Its effect, by name."""
    job = model.jobs.get(callback.job_id)
    if job is None:
        return _unknown_job(model, callback, born, now)
    if callback.distrusted:
        return "repeated"
    if callback.nonce is not None:
        if callback.nonce in model.nonces:
            return "replayed"
        model.nonces.add(callback.nonce)
    armed = job.state == "submitting" and not job.this.released
    before, effect = job.state, _place(model, job, callback, now)
    job.epochs.setdefault(callback.epoch, Epoch(foreign=True)).proof = True
    task = callback.task_id
    if effect == "earlier" and armed:
        # That submission was accepted: the one that is about to be let go must not be paid for as well.
        job.go("unknown", now)
    if task is not None and _is_crossed(model, job, callback.epoch, task):
        if model.tasks.get(task, job) is not job and callback.epoch not in job.answered:
            model.contest(task, now)
        effect, task = "crossed", None
    return _tell(model, job, task, callback.epoch, effect, before, now)


def _is_crossed(model: Model, job: ModelJob, epoch: int, task: str) -> bool:
    """Another job's, or not the one that the answer to this submission named."""
    return model.tasks.get(task, job) is not job or job.answered.get(epoch, task) != task


def _unknown_job(model: Model, callback: Callback, born: int, now: int) -> str:
    if born + model.retention_ms < now:
        return "expired"
    task = callback.task_id
    if task is not None and not callback.distrusted and task not in model.tasks:
        job = ModelJob(callback.job_id, callback.tenant, born, "submitted", callback.epoch)
        job.epochs[callback.epoch] = Epoch(released=True, proof=True, foreign=True)
        job.since["submitted"] = now
        model.jobs[job.name] = job
        model.bind(job, task, now)
        job.reported_at = None
    return "orphan"


def _place(model: Model, job: ModelJob, callback: Callback, now: int) -> str | None:
    """Of which submission it is. One that our record knows nothing of is adopted, never sent again."""
    armed = job.state == "submitting" and not job.this.released
    if callback.epoch > job.epoch or (callback.epoch == job.epoch and armed):
        if not job.final:
            job.epoch = callback.epoch
            job.released_at = job.released_at or now
            job.epochs[callback.epoch] = Epoch(released=True, proof=True, foreign=True)
            model.lost.setdefault((job.name, job.epoch), now)
            if job.state in ("queued", "submitting"):
                job.go("unknown", now)
        return "ahead"
    return "earlier" if callback.epoch < job.epoch else None


def _tell(
    model: Model, job: ModelJob, task: str | None, epoch: int, effect: str | None, before: str, now: int
) -> str:
    if job.final:
        if not job.watched(now):
            return effect or "absorbed"
        if task is not None:
            model.bind(job, task, now, reported_for=epoch)
        return effect or "late"
    if task is not None:
        job.go("submitted", now)
        model.bind(job, task, now, reported_for=epoch)
    else:
        if job.state == "queued":
            job.go("unknown", now)
        job.evidence = True
    return effect or ("moved" if job.state != before else "repeated")
