"""Jobs: submit, wait for, watch, fetch, list and cancel them."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Unpack

from . import downloading, orders, streaming, waiting
from .checks import path_of, plain, whole_seconds
from .files import Progress
from .models import Event, Job, JobCheck, Link, Status, Timeline, Variant
from .orders import JobParams, Media
from .pages import Listing, listed
from .requests import Request, record, send
from .steps import Call, Method, Net, Resource, Stream
from .webhook_models import Delivery


class Jobs(Resource[Net]):
    """Submit jobs, wait for them, fetch their videos. Where a job is wanted, pass a Job or its id.

    `client.jobs.submit`, then `wait`, then `download`. `events` and `timeline` tell what happens.
    """

    @Method
    def submit(
        self,
        prompt: str,
        images: Sequence[Media],
        *,
        videos: Sequence[Media] = (),
        idempotency_key: str | None = None,
        wait: int = 0,
        progress: Progress | None = None,
        **params: Unpack[JobParams],
    ) -> Call[Job]:
        """Order a video. The job is not lost once this returns; `wait` and `download` bring the video.

        `prompt`: what the video shows. `images`: a list of 1 to 7 pictures; `videos`: up to two clips. Each
        is a URL, a `Path`, bytes, a file opened with "rb", or an upload. Files above 1 MB are uploaded first;
        smaller ones go inside the request. `progress(sent, size)` is called with bytes, during each upload.
        `wait`: up to so many seconds (0 to 60) for the video.

        `params`: `duration` (seconds, 0 to 10), `resolution` ("540p", "720p", "1080p"), `aspect_ratio`
        ("16:9", "9:16", "4:3", "3:4", "1:1"), `seed`, `bgm` (music), `payload` (your own text, which comes
        back), `callback_url` (hears how the job ended), `priority` ("low", "normal", "high"),
        `start_deadline` and `total_deadline` (seconds). See help(gateway.client.JobParams) for all. What
        you leave out has the gateway's default.

        Retries never make a second job: an idempotency key is made and kept over them. Give your own
        `idempotency_key`, such as the number of an order, and the same call returns the same job even after
        your program was restarted. Raises InvalidRequest (with every problem; nothing is paid),
        BudgetExceeded, RateLimited; TypeError or ValueError for an argument that cannot be meant.
        """
        seconds = whole_seconds("wait", wait, 0, waiting.LONGEST_SECONDS) + 60.0
        plain("progress", progress)
        headers = orders.options(params)
        body = yield from orders.body(prompt, images, videos, params, progress)
        headers |= {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        headers |= {"Prefer": f"wait={wait}"} if wait else {}
        return (
            yield from record(Job, Request("POST", "/v1/jobs", headers=headers, body=body, seconds=seconds))
        )

    @Method
    def check(
        self,
        prompt: str,
        images: Sequence[Media],
        *,
        videos: Sequence[Media] = (),
        **params: Unpack[JobParams],
    ) -> Call[JobCheck]:
        """Check a job as `submit` would, without making it. Nothing is paid. Files are uploaded as by
        `submit`."""
        headers = orders.options(params)
        body = yield from orders.body(prompt, images, videos, params, None)
        return (yield from record(JobCheck, Request("POST", "/v1/jobs/check", headers=headers, body=body)))

    @Method
    def get(self, job: Job | str, *, wait: int = 0) -> Call[Job]:
        """The job now; with `wait`, when it is finished, after so many seconds (60 at most) at the latest."""
        return waiting.get(_path(job), whole_seconds("wait", wait, 0, waiting.LONGEST_SECONDS))

    @Method
    def wait(
        self,
        job: Job | str,
        *,
        timeout: float | None = 900.0,
        progress: waiting.JobProgress | None = None,
    ) -> Call[Job]:
        """The completed job. Outages of the gateway are waited out, unless you pass an id and it never
        answered.

        `timeout`: seconds; None: for ever. `progress(job)` is called every few seconds with the job, whose
        `status`, `phase` and `progress` tell how far it is. Raises JobFailed, whose `job.error` says why;
        JobCanceled; and WaitTimeout, which is a TimeoutError: the job goes on, and you may wait again.
        """
        plain("progress", progress)
        return waiting.wait(_path(job), job if isinstance(job, Job) else None, timeout, progress)

    def events(self, job: Job | str, *, after: str | None = None) -> Stream[Net, Event]:
        """What happens to the job, from its beginning (or after the event `after`) until it is finished.

        `for event in client.jobs.events(job): print(event.type, event.job and event.job.status)`. Types:

        * `job.queued`: it was accepted; `job.submitted`: the upstream has it
        * `job.completed`, `job.failed`, `job.canceled`: how it ended; the stream ends, too
        * `gap`: events are missing: get the job

        What comes later is in `client.events()` and in webhooks: `job.mirrored` (the gateway has its own copy
        of the video) and `job.late_result` (there is a video after all, of a job that failed).

        Progress is no event: use `wait(job, progress=...)`. When the connection breaks, it goes on after the
        last event. Pass over types that you do not know.
        """
        path = f"{_path(job)}/events"
        return Stream(self._network, lambda: streaming.stream(path, {}, after, None, None))

    @Method
    def download(
        self,
        job: Job | str,
        to: str | PathLike[str],
        *,
        variant: Variant = "video",
        progress: Progress | None = None,
    ) -> Call[Path]:
        """Fetch a file of the result to the path `to`, which appears only when the file is complete. Its
        folder must exist; an older file is replaced.

        `variant`: `video`, `watermarked` or `cover`. `progress(received, size)` is called with bytes, again
        and again; `size` is None if it is not known. A download that breaks goes on where it was, and the
        SHA-256 is checked if the gateway has a copy. Raises NotFound while there is no such file, and
        BadDownload.
        """
        plain("progress", progress)
        path = downloading.target(to)
        if not isinstance(job, Job) or variant not in job.assets:
            job = yield from waiting.get(_path(job))
        asset = job.assets.get(variant)
        sha256 = asset.sha256 if asset else None
        query = {"variant": variant}
        return (yield from downloading.download(f"{_path(job)}/content", query, path, sha256, progress))

    def list(
        self, *, status: Status | None = None, page_size: int = 100, **filters: str
    ) -> Listing[Net, Job]:
        """Your jobs, newest first, without their payloads: `for job in client.jobs.list(status="failed")`.

        Pages are fetched when the loop comes to them; `.first()` is the newest job, and `.pages()` gives
        whole pages. `page_size`: jobs of one page, 1 to 100; it does not end the list. `filters`: more
        filters of `GET /v1/jobs`, by name: `after` (the id of a job: only older ones).
        """
        if "limit" in filters:
            raise TypeError("limit: pass page_size=; for the first n jobs use itertools.islice(listing, n)")
        return Listing(self._network, Job, "/v1/jobs", {"status": status, "limit": page_size, **filters})

    @Method
    def cancel(self, job: Job | str) -> Call[Job]:
        """Cancel the job. Conflict if it is already finished, or was sent to an upstream that cannot
        cancel."""
        return record(Job, Request("POST", f"{_path(job)}/cancel"))

    @Method
    def timeline(self, job: Job | str) -> Call[Timeline]:
        """Everything that happened to the job, oldest first."""
        return record(Timeline, Request("GET", f"{_path(job)}/timeline"))

    @Method
    def deliveries(self, job: Job | str) -> Call[tuple[Delivery, ...]]:
        """The webhooks of the job, with their attempts."""
        return listed(Delivery, f"{_path(job)}/deliveries")

    @Method
    def link(self, job: Job | str, *, variant: Variant = "video", seconds: int = 3600) -> Call[Link]:
        """An address that opens one file to anybody, for so many seconds (7 days at most)."""
        body = {"variant": variant, "seconds": seconds}
        return record(Link, Request("POST", f"{_path(job)}/links", body=body))

    @Method
    def delete_content(self, job: Job | str) -> Call[None]:
        """Delete the gateway's copies of all files of the job. The job stays. This cannot be undone."""
        yield from send(Request("DELETE", f"{_path(job)}/content"))


def _path(job: Job | str) -> str:
    return path_of("/v1/jobs", Job, job)
