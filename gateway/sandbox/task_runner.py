"""Runs tasks: downloads the references, lets a process render them, and keeps the configured time."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import aiohttp

from gateway.environment import Environment
from gateway.sandbox.checks import Reference
from gateway.sandbox.download import Fetched, download
from gateway.sandbox.faults import without_markers
from gateway.sandbox.options import Options
from gateway.sandbox.pool import RenderPool
from gateway.sandbox.refusals import TaskFailed
from gateway.sandbox.render.script import Script
from gateway.sandbox.task_queue import TaskQueue
from gateway.sandbox.tasks import Files, Task

PLACEHOLDER = "placeholder.mp4"
_NO_MUSIC_SECONDS = (9, 10)  # as published: bgm has no effect for these lengths
_UNSAFE = "input did not pass the safety review"
_UNSAFE_CODES: dict[str, str | int] = {"vtrix": 1027, "vidu": "CreationPolicyViolation"}


class TaskRunner:
    """`on_change`: called when a task has to wait in the queue, when it starts and when it ends.
    `on_fetched`: called when a reference of it was downloaded."""

    def __init__(
        self,
        options: Options,
        environment: Environment,
        session: aiohttp.ClientSession,
        on_change: Callable[[Task], None],
        on_fetched: Callable[[Task, Fetched], None],
    ) -> None:
        self._options = options
        self._environment = environment
        self._session = session
        self._on_change = on_change
        self._on_fetched = on_fetched
        self._pool = RenderPool(options.processes)
        self._queue = TaskQueue(options.concurrency)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._is_closed = False

    def start(self, task: Task, *, at_once: bool = False) -> None:
        """`at_once`: wait neither in the queue nor for the configured time."""
        if at_once or task.dialect != "vidu":
            self._run(task, 0.0 if at_once else self._options.task_seconds)
        elif not self._queue.enter(task.id, lambda: self._run(task, self._options.task_seconds)):
            task.is_queued = True
            self._on_change(task)

    def cancel_unstarted(self, task: Task) -> bool:
        """Ends and refunds a task that has not started; False for any other."""
        if task.started_at is not None or task.has_ended:
            return False
        if work := self._running.get(task.id):
            work.cancel()
        task.is_refunded = True
        self._end(task, None, ("UserCancelled", "the task was cancelled by its owner"))
        return True

    def _run(self, task: Task, wait: float) -> None:
        if self._options.render == "full" and "failed_task" not in task.faults:
            work = asyncio.create_task(self._produce(task, wait))
            self._running[task.id] = work
            work.add_done_callback(lambda _: self._running.pop(task.id))
            return
        self._mark_started(task)
        task.rendered = 1.0
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, self._end_simulated, task)
        else:
            self._end_simulated(task)

    def progress(self, task: Task) -> float:
        """The rendered part, 0 to 1, but not more than the elapsed part of the configured time."""
        wait = self._options.task_seconds
        elapsed = self._environment.clock() - task.created_at
        return max(0.0, min(task.rendered, elapsed / wait if wait > 0 else 1.0))

    async def close(self) -> None:
        self._is_closed = True
        running = list(self._running.values())
        for work in running:
            work.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._pool.close()

    def _mark_started(self, task: Task) -> None:
        task.started_at = self._environment.clock()
        self._on_change(task)

    def _end_simulated(self, task: Task) -> None:
        if self._is_closed:
            return
        if fault := task.faults.get("failed_task"):
            self._end(task, None, (fault.value or _UNSAFE_CODES[task.dialect], _UNSAFE))
        else:
            self._end(task, Files(PLACEHOLDER))

    def _end(self, task: Task, files: Files | None, failure: tuple[str | int, str] | None = None) -> None:
        task.end(self._environment.clock(), None if "no_url" in task.faults else files, failure)
        self._on_change(task)
        self._queue.leave(task.id)
        if self._options.result_seconds is not None and task.files and task.files.film != PLACEHOLDER:
            asyncio.get_running_loop().call_later(self._options.result_seconds, self._drop, task.files)

    def _drop(self, files: Files) -> None:
        for name in filter(None, (files.film, files.marked, files.cover)):
            (self._options.files_dir / name).unlink(missing_ok=True)

    async def _produce(self, task: Task, wait: float) -> None:
        folder = self._options.work_dir / task.id
        due = self._environment.clock() + wait
        try:
            files = await self._rendered(task, folder)
            left = due - self._environment.clock()
            if left > 0:
                await asyncio.sleep(left)
            self._end(task, files)
        except TaskFailed as failed:
            self._end(task, None, (failed.code, failed.message))
        except OSError as error:
            self._end(task, None, ("InternalServiceFailure", f"storage failed: {type(error).__name__}"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _rendered(self, task: Task, folder: Path) -> Files:
        self._create_folders(folder)
        images = await self._fetch(task, task.spec.images, folder, "Image")
        videos = await self._fetch(task, task.spec.videos, folder, "Video")
        marks: tuple[str, ...] = ()
        if task.spec.watermark and task.spec.wm_url:
            marks = await self._fetch(task, (Reference(url=task.spec.wm_url),), folder, "Image", "mark")
        files = self._result_files(task)
        script = self._script(task, files, images, videos, marks)

        def on_progress(share: float) -> None:
            task.rendered = share

        async with self._pool.acquire() as child:
            self._mark_started(task)
            await child.render(script, on_progress)
        task.rendered = 1.0
        return files

    async def _fetch(
        self, task: Task, references: tuple[Reference, ...], folder: Path, kind: str, name: str = ""
    ) -> tuple[str, ...]:
        """Saves the references as files and returns their paths. URLs are downloaded in parallel."""
        paths = [folder / f"{name or kind.lower()}-{place}" for place in range(len(references))]
        fetches = []
        for reference, path in zip(references, paths, strict=True):
            if reference.url:
                fetches.append(download(self._session, reference.url, path, kind))
            else:
                path.write_bytes(reference.data)
        for fetched in await asyncio.gather(*fetches):
            self._on_fetched(task, fetched)
        return tuple(str(path) for path in paths)

    def _create_folders(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._options.files_dir.mkdir(exist_ok=True)

    def _result_files(self, task: Task) -> Files:
        """File names that cannot be guessed, because the files are served without a key."""
        stem = self._environment.entropy(16).hex()
        return Files(f"{stem}.mp4", f"{stem}-marked.mp4" if task.spec.watermark else None, f"{stem}.jpg")

    def _script(
        self,
        task: Task,
        files: Files,
        images: tuple[str, ...],
        videos: tuple[str, ...],
        marks: tuple[str, ...],
    ) -> Script:
        folder = self._options.files_dir.absolute()
        return Script(
            images=images,
            videos=videos,
            caption=without_markers(task.spec.prompt),
            seconds=task.seconds,
            width=task.size[0],
            height=task.size[1],
            seed=task.seed,
            music=task.spec.bgm and task.seconds not in _NO_MUSIC_SECONDS,
            film=str(folder / files.film),
            cover=str(folder / str(files.cover)),
            marked_film=str(folder / files.marked) if files.marked else None,
            mark_position=task.spec.wm_position if files.marked else None,
            mark_image=marks[0] if marks else None,
        )
