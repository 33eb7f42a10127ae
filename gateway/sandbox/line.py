"""The waiting line of the vidu dialect: so many tasks run at once, the others wait in order of arrival."""

from __future__ import annotations

from collections.abc import Callable


class Line:
    def __init__(self, places: int | None) -> None:
        """`places`: None = nobody ever waits."""
        self._places = places
        self._running: set[str] = set()
        self._waiting: dict[str, Callable[[], None]] = {}

    def enter(self, task_id: str, start: Callable[[], None]) -> bool:
        """Whether it was started; if not, it will be when its turn comes."""
        if self._waiting or not self._has_room():
            self._waiting[task_id] = start
            return False
        self._running.add(task_id)
        start()
        return True

    def leave(self, task_id: str) -> None:
        """It has ended, or wants to wait no more. Who was never in the line may leave it."""
        self._waiting.pop(task_id, None)
        self._running.discard(task_id)
        while self._waiting and self._has_room():
            first = next(iter(self._waiting))
            start = self._waiting.pop(first)
            self._running.add(first)
            start()

    def _has_room(self) -> bool:
        return self._places is None or len(self._running) < self._places
