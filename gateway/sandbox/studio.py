"""Brings tasks to their end: fetches the references, has them rendered, keeps the asked time."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import aiohttp

from gateway.environment import Environment
from gateway.sandbox.checks import Reference
from gateway.sandbox.download import download
from gateway.sandbox.faults import without_markers
from gateway.sandbox.line import Line
from gateway.sandbox.options import Options
from gateway.sandbox.pool import RenderPool
from gateway.sandbox.refusals import TaskFailed
from gateway.sandbox.render.script import Script
from gateway.sandbox.tasks import Files, Task

PLACEHOLDER = "placeholder.mp4"
_NO_MUSIC_SECONDS = (9, 10)  # as published: bgm has no effect then
_UNSAFE = "input did not pass the safety review"
_UNSAFE_CODES: dict[str, str | int] = {"vtrix": 1027, "vidu": "CreationPolicyViolation"}


class Studio:
    """`on_change` is told when a task has to wait in the line, and of each start and end."""

    def __init__(
        self,
        options: Options,
        environment: Environment,
        session: aiohttp.ClientSession,
        on_change: Callable[[Task], None],
    ) -> None:
        self._options = options
        self._environment = environment
        self._session = session
        self._on_change = on_change
        self._pool = RenderPool(options.processes)
        self._line = Line(options.concurrency)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._is_closed = False

    def begin(self, task: Task, *, at_once: bool = False) -> None:
        """`at_once`: keep the task waiting neither for the asked time nor in the line."""
        if at_once or task.dialect != "vidu":
            self._set_going(task, 0.0 if at_once else self._options.task_seconds)
        elif not self._line.enter(task.id, lambda: self._set_going(task, self._options.task_seconds)):
            task.is_queued = True
            self._on_change(task)

    def withdraw(self, task: Task) -> bool:
        """Ends a task that has not started, as its owner wished; False for any other."""
        if task.started_at is not None or task.has_ended:
            return False
        if work := self._under_way.get(task.id):
            work.cancel()
        task.is_refunded = True
        self._end(task, None, ("UserCancelled", "the task was cancelled by its owner"))
        return True

    def _set_going(self, task: Task, wait: float) -> None:
        if self._options.render == "full" and "failed_task" not in task.faults:
            work = asyncio.create_task(self._produce(task, wait))
            self._under_way[task.id] = work
            work.add_done_callback(lambda _: self._under_way.pop(task.id))
            return
        self._started(task)
        task.rendered = 1.0
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, self._simulated_end, task)
        else:
            self._simulated_end(task)

    def progress(self, task: Task) -> float:
        """What is rendered, but not ahead of the asked time."""
        wait = self._options.task_seconds
        elapsed = self._environment.clock() - task.created_at
        return max(0.0, min(task.rendered, elapsed / wait if wait > 0 else 1.0))

    async def close(self) -> None:
        self._is_closed = True
        under_way = list(self._under_way.values())
        for work in under_way:
            work.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._pool.close()

    def _started(self, task: Task) -> None:
        task.started_at = self._environment.clock()
        self._on_change(task)

    def _simulated_end(self, task: Task) -> None:
        if self._is_closed:
            return
        if fault := task.faults.get("failed_task"):
            self._end(task, None, (fault.value or _UNSAFE_CODES[task.dialect], _UNSAFE))
        else:
            self._end(task, Files(PLACEHOLDER))

    def _end(self, task: Task, files: Files | None, failure: tuple[str | int, str] | None = None) -> None:
        task.end(self._environment.clock(), None if "no_url" in task.faults else files, failure)
        self._on_change(task)
        self._line.leave(task.id)

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
        self._make_room(folder)
        images = await self._gathered(task.order.images, folder, "Image")
        videos = await self._gathered(task.order.videos, folder, "Video")
        marks: tuple[str, ...] = ()
        if task.order.watermark and task.order.wm_url:
            marks = await self._gathered((Reference(url=task.order.wm_url),), folder, "Image", "mark")
        files = self._named(task)
        script = self._script(task, files, images, videos, marks)

        def on_progress(share: float) -> None:
            task.rendered = share

        async with self._pool.place() as child:
            self._started(task)
            await child.render(script, on_progress)
        task.rendered = 1.0
        return files

    async def _gathered(
        self, references: tuple[Reference, ...], folder: Path, kind: str, name: str = ""
    ) -> tuple[str, ...]:
        """The references as files, fetched side by side where they are addresses."""
        paths = [folder / f"{name or kind.lower()}-{place}" for place in range(len(references))]
        fetches = []
        for reference, path in zip(references, paths, strict=True):
            if reference.url:
                fetches.append(download(self._session, reference.url, path, kind))
            else:
                path.write_bytes(reference.data)
        await asyncio.gather(*fetches)
        return tuple(str(path) for path in paths)

    def _make_room(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._options.files_dir.mkdir(exist_ok=True)

    def _named(self, task: Task) -> Files:
        """Unguessable, because the files are served to whoever asks."""
        stem = self._environment.entropy(16).hex()
        return Files(f"{stem}.mp4", f"{stem}-marked.mp4" if task.order.watermark else None, f"{stem}.jpg")

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
            caption=without_markers(task.order.prompt),
            seconds=task.seconds,
            width=task.size[0],
            height=task.size[1],
            seed=task.seed,
            music=task.order.bgm and task.seconds not in _NO_MUSIC_SECONDS,
            film=str(folder / files.film),
            cover=str(folder / str(files.cover)),
            marked_film=str(folder / files.marked) if files.marked else None,
            mark_position=task.order.wm_position if files.marked else None,
            mark_image=marks[0] if marks else None,
        )
