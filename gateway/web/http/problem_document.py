"""The body of an error response: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from gateway import errors
from gateway.views.shapes import extensible, shape
from gateway.web.http.problem_codes import FAULTS, LIMITS, PROBLEM_TYPES
from gateway.web.http.problem_types import URN, ProblemType

MEDIA_TYPE: Final = "application/problem+json"


@shape
class Fault(TypedDict):
    """One thing that is wrong with the request: where, what, and how to fix it."""

    param: str
    code: Annotated[str, extensible(FAULTS)]
    message: str


class OfBudget(TypedDict):
    """The members of a 402 about the budget."""

    budget: str
    limit: NotRequired[str]
    spent: NotRequired[str]
    reserved: NotRequired[str]
    estimate: NotRequired[str]


@shape
class Problem(TypedDict):
    """An error (RFC 9457)."""

    type: Annotated[
        str,
        Field(
            examples=["urn:vidu-gateway:problem:invalid-request"],
            json_schema_extra={"enum": list(PROBLEM_TYPES)},
        ),
    ]
    title: str
    status: int
    detail: str
    errors: list[Fault]
    """Empty if no single parameter is at fault."""
    limit: NotRequired[Annotated[str, extensible(LIMITS)]]
    """With 429: the name of the limit that was reached. With 402: the amount of the budget."""
    budget: NotRequired[str]
    """Only with 402: whose budget does not allow the job, and of which period, such as `tenant day`."""
    spent: NotRequired[str]
    """Only with 402: what the upstream charged in that period. Amounts are decimal strings."""
    reserved: NotRequired[str]
    """Only with 402: what is reserved in that period for jobs that may still be charged."""
    estimate: NotRequired[str]
    """Only with 402: what this job would cost."""


def problem(
    problem_type: ProblemType,
    detail: str,
    faults: Sequence[errors.Problem] = (),
    limit: str | None = None,
) -> Problem:
    document: Problem = {
        "type": URN + problem_type.name,
        "title": problem_type.title,
        "status": problem_type.status,
        "detail": detail,
        "errors": [{"param": one.param, "code": one.code, "message": one.message} for one in faults],
    }
    if limit is not None:
        document["limit"] = limit
    return document
