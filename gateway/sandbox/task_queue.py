"""The queue of the vidu dialect: a limited number of tasks run at once, the others wait in order of
arrival."""

from __future__ import annotations

from collections.abc import Callable


class TaskQueue:
    def __init__(self, limit: int | None) -> None:
        """`limit`: tasks that run at once; None: no task ever waits."""
        self._limit = limit
        self._running: set[str] = set()
        self._waiting: dict[str, Callable[[], None]] = {}

    def enter(self, task_id: str, start: Callable[[], None]) -> bool:
        """Starts the task now, or later when there is room. Returns whether it was started now."""
        if self._waiting or not self._has_room():
            self._waiting[task_id] = start
            return False
        self._running.add(task_id)
        start()
        return True

    def leave(self, task_id: str) -> None:
        """Call it when a task has ended or must not wait any longer. Any task may leave, even if it never
        entered."""
        self._waiting.pop(task_id, None)
        self._running.discard(task_id)
        while self._waiting and self._has_room():
            first = next(iter(self._waiting))
            start = self._waiting.pop(first)
            self._running.add(first)
            start()

    def _has_room(self) -> bool:
        return self._limit is None or len(self._running) < self._limit
