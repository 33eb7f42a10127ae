"""The two ways in which the sandbox says no: to a request, and to a task that it had accepted.

They are the sandbox's own, and not in the gateway's tree of errors: the sandbox plays the upstream and
shares nothing with what it judges.
"""

from __future__ import annotations


class Refused(Exception):
    """The request breaks a published limit. `code` is one of the upstream's reasons; `status` is HTTP's."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class TaskFailed(Exception):
    """An accepted task cannot be finished. `code` is what the task's error will carry."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
