"""What nobody can know: an upstream that echoes no mark calls back for one job with the task of another.

Such a callback is genuine. Where the upstream's answers to both submissions were lost, only callbacks tell
whose the task is: the one lie, and the other job's own callback if it comes. The gateway is excused where all
the words that reached it until then agreed with the lie, or where two of them contradicted each other.
"""

from __future__ import annotations

from tests.promises.faults.evidence import Evidence, job_of, moment
from tests.promises.faults.ledgers import Fact


def excused(found: Evidence) -> list[str]:
    """The jobs that have another's result, and could not know."""
    return [
        job
        for job, shown in found.jobs.items()
        if shown["public"] and shown["public"]["status"] == "completed"
        for task in found.final["tasks"]
        if task.get("output") == shown["public"]["output"] and task not in found.tasks.get(job, [])
        if is_misled(found, job, task)
    ]


def lies(found: Evidence, task: str) -> list[Fact]:
    """Callbacks that were taken and named the task for another job than its own."""
    return [
        fact
        for fact in found.sandbox
        if fact["kind"] == "callback" and fact.get("crossed_with") == task and fact["reply"] == 200
    ]


def is_misled(found: Evidence, job: str, task: Fact) -> bool:
    """The job has the result of this task, which is another's, and nothing that was heard before said so."""
    finished = moment(found.jobs[job]["public"]["finished_at"])
    owner = job_of(task["callback_url"].rsplit("/", 1)[-1])
    told = [fact for fact in lies(found, task["id"]) if job_of(fact["callback_token"]) == job]
    heard = any(fact["at"] <= finished for fact in honest(found, task["id"]))
    answered = _answered(found, job) or _answered(found, owner, finished)
    return bool(told) and not heard and not answered


def is_contested(found: Evidence, job: str, task: str) -> bool:
    """No answer ever showed the job that the task is its own, and another job's callback named it."""
    return bool(lies(found, task)) and not _answered(found, job)


def honest(found: Evidence, task: str) -> list[Fact]:
    """Callbacks of the task that were taken, and named it for its own job."""
    return [
        fact
        for fact in found.sandbox
        if fact["kind"] == "callback"
        and fact["task_id"] == task
        and fact["reply"] == 200
        and fact.get("mutation") in (None, "late_callback", "duplicate_callback", "reordered_callback")
        and not fact.get("forgery")
    ]


def _answered(found: Evidence, job: str, until: float = float("inf")) -> bool:
    history = found.history(job)
    return any(
        fact["event"] == "task_named" and fact["by"] == "answer" and fact["at"] <= until for fact in history
    )
