"""The two errors of the sandbox: a refused request, and a failed task.

They are not in the gateway's tree of errors: the sandbox plays the upstream and shares nothing with the
gateway that it tests.
"""

from __future__ import annotations


class RequestRefused(Exception):
    """The request breaks a published limit. `code` is one of the upstream's reasons; `status` is HTTP's."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class TaskFailed(Exception):
    """An accepted task cannot be finished. `code`: the code of the task's error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
