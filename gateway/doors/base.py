"""What a door is, and what it is given. Doors know neither HTTP's library nor the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from gateway.assets import Variant
from gateway.errors import Problem
from gateway.jobs import Job
from gateway.keyring import Keyring
from gateway.lifecycle import JobState
from gateway.media.links import content_link

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that was refused. `status`: as `/v1/jobs` would answer. `name`: of the problem type, such as
    `invalid-request`. `detail`: a sentence. `request_id`: of the request in our log. `in_doubt`: whether the
    request may have been carried out all the same."""

    status: int
    name: str
    detail: str
    problems: Sequence[Problem]
    request_id: str
    in_doubt: bool = False

    @property
    def message(self) -> str:
        """Everything that is wrong, in one text."""
        texts = [f"{one.param}: {one.message}" if one.param else one.message for one in self.problems]
        return "; ".join(texts) or self.detail


#: The stable address of a file of a job's result, or None if there is none.
Link = Callable[[Job, Variant], str | None]


def no_link(job: Job, variant: Variant) -> str | None:
    """The `Link` of a gateway that does not know how clients reach it."""
    return None


class Door(Protocol):
    """The words of one API. Every function is pure. `name`: as in `GATEWAY_DOORS` and in a job's record.
    `schemes`: of the header Authorization, in lower case; what follows is always a key of ours. `listed_at`:
    where a client finds its jobs."""

    name: ClassVar[str]
    listed_at: ClassVar[str]
    schemes: ClassVar[frozenset[bytes]]

    def accepted(self, job: Job) -> Document:
        """The answer to the POST that made the job, or that found it by its idempotency key."""

    def shown(self, job: Job, payload: str | None, link: Link) -> Document:
        """The answer to a poll."""

    def refused(self, refusal: Refusal) -> tuple[int, Document]:
        """The HTTP status and the body of an error."""

    def event(self, job: Job, payload: str | None, link: Link) -> Document:
        """What the job's own callback URL is sent when the job becomes final. `job`: as it will be
        stored. `payload`: None if it is too long for an event."""


@dataclass(frozen=True, slots=True)
class ResultLinks:
    """The signed addresses of results. `client_url`: the gateway as clients reach it; empty: there are no
    such addresses. `retention_seconds`: how long a finished job is kept."""

    keyring: Keyring
    client_url: str
    retention_seconds: float

    def of(self, job: Job, variant: Variant) -> str | None:
        """The address of a file of a completed job, the same in every answer. It opens the file until the
        job is forgotten. None without a client URL."""
        if not self.client_url or job.state is not JobState.COMPLETED or job.finished_at is None:
            return None
        until = job.finished_at // 1000 + int(self.retention_seconds)
        return content_link(self.keyring, self.client_url, job.id, variant, until)


def chosen(fields: Mapping[str, Any], *names: str) -> Document:
    """Those of the fields that have a value."""
    return {name: fields[name] for name in names if fields.get(name) is not None}
