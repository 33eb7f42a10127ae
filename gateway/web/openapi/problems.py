"""The errors of the API's document, one response a status."""

from __future__ import annotations

from gateway.web.http.problems import KINDS, MEDIA_TYPE, REFUSALS
from gateway.web.openapi.paths import reference
from gateway.web.operation import RETRY_AFTER, Document
from gateway.web.schemas import jobs


def problems() -> Document:
    """{"Problem404": response}"""
    statuses = {kind.status for kind in (*KINDS.values(), *REFUSALS.values())}
    return {f"Problem{status}": _problem(status) for status in sorted(statuses)}


def _problem(status: int) -> Document:
    titles = {kind.title for kind in (*KINDS.values(), *REFUSALS.values()) if kind.status == status}
    made: Document = {
        "description": "; ".join(sorted(titles)) + ".",
        "content": {MEDIA_TYPE: {"schema": reference(jobs.Problem)}},
    }
    if status in (429, 503):
        made["headers"] = {"Retry-After": RETRY_AFTER}
    return made
