"""Waits until a job is finished, over outages of the gateway too."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final

from . import errors
from .models import Job
from .requests import Request, backoff, record
from .steps import Call, pause

#: The most that the gateway waits in one request.
LONGEST_SECONDS: Final = 60
#: An answer may come so long after the gateway has waited.
_GRACE_SECONDS: Final = 30.0
#: But not longer after the time that the caller gave.
_LAST_GRACE_SECONDS: Final = 5.0
_PROGRESS_SECONDS: Final = 5
_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 15.0
PASSING: Final = (errors.ConnectionFailed, errors.Unavailable, errors.RateLimited)

JobProgress = Callable[[Job], None]


def get(path: str, wait: int = 0) -> Call[Job]:
    """The job now, or when it is finished, after `wait` seconds at the latest."""
    return record(Job, _request(path, wait, seconds=wait + _GRACE_SECONDS if wait else None))


def _request(path: str, wait: int, **options: Any) -> Request:
    return Request("GET", path, {"wait": wait} if wait else {}, **options)


def wait(path: str, seen: Job | None, timeout: float | None, progress: JobProgress | None) -> Call[Job]:
    # The retries are this loop's own: those of a request know no deadline.
    retries: int = yield lambda session: session.retries
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    longest = _PROGRESS_SECONDS if progress else LONGEST_SECONDS
    failures = 0
    while True:
        began = time.monotonic()
        left = max(0.0, deadline - began)
        seconds = int(min(longest, left))
        silence = min(seconds + _GRACE_SECONDS, left + _LAST_GRACE_SECONDS)
        try:
            seen = yield from record(Job, _request(path, seconds, seconds=silence, retries=0))
        except PASSING as error:
            delay = max(error.retry_after or 0.0, backoff(failures, _LONGEST_PAUSE_SECONDS))
            late = time.monotonic() + delay > deadline
            if seen is None and (late or failures >= retries):  # it may be the wrong address
                raise
            if seen is not None and late:
                raise _late(seen, timeout) from error
            failures += 1
            yield from pause(delay)
            continue
        failures = 0
        if progress is not None:
            progress(seen)
        if seen.final:
            return _completed(seen)
        now = time.monotonic()
        if now >= deadline:
            raise _late(seen, timeout)
        if now - began < seconds or not seconds:  # the gateway did not wait
            yield from pause(min(_PAUSE_SECONDS, deadline - now))


def _completed(job: Job) -> Job:
    if job.status == "canceled":
        raise errors.JobCanceled(f"{job.id} was canceled", job)
    if job.status != "completed":
        why = f"{job.error.code}: {job.error.error_message}" if job.error else "without a reason"
        raise errors.JobFailed(f"{job.id} {job.status}: {why}", job)
    return job


def _late(job: Job, timeout: float | None) -> errors.WaitTimeout:
    return errors.WaitTimeout(f"{job.id} is still {job.status} after {timeout:g} s; it goes on", job)
