"""The words that upstreams use for the state of a task, in every dialect.

The published documentation names few of them, and vendors add more. All dialects share one table: a word
means the same whichever upstream says it.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.upstream.base import TaskStatus

#: Only words that leave no doubt are final: a job that failed by mistake would lose a paid result.
_MEANINGS: Final = {
    TaskStatus.COMPLETED: (
        *("completed", "complete", "success", "successful", "succeeded", "succeed", "done", "finished"),
        "finish",
    ),
    TaskStatus.FAILED: (
        *("failed", "fail", "failure", "error", "errored", "expired", "timeout", "timed_out", "rejected"),
        *("refused", "denied"),
    ),
    TaskStatus.CANCELED: (
        *("canceled", "cancelled", "cancel", "aborted", "revoked", "terminated"),
        *("user_canceled", "user_cancelled"),
    ),
    TaskStatus.IN_PROGRESS: (
        *("in_progress", "inprogress", "processing", "process", "queued", "queueing", "queuing", "queue"),
        *("in_queue", "enqueued", "pending", "created", "submitted", "submitting", "not_start"),
        *("not_started", "starting", "started", "start", "running", "run", "waiting", "wait", "scheduled"),
        *("scheduling", "generating", "rendering", "preparing", "accepted", "received", "initializing"),
        *("initialized", "init", "uploading", "downloading", "archiving", "post_processing", "retrying"),
        *("working", "active", "new", "executing", "canceling", "cancelling", "on_hold", "paused"),
    ),
}
_STATUS_OF: Final = {word: status for status, words in _MEANINGS.items() for word in words}
_SEPARATORS: Final = re.compile(r"[\s._-]+")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
#: As in TASK_STATUS_SUCCEEDED.
_PREFIX: Final = re.compile(r"(?:task_|job_)?(?:status_|state_)?")


def status_of(word: str) -> TaskStatus | None:
    """What the word means; None if nobody knows. Upper case, hyphens and spaces make no difference."""
    plain = _SEPARATORS.sub("_", _HUMP.sub("_", word)).strip("_").lower()
    return _STATUS_OF.get(plain) or _STATUS_OF.get(_PREFIX.sub("", plain, count=1))
