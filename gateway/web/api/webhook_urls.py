"""Checks whether webhooks may be sent to a URL."""

from __future__ import annotations

from gateway.delivery.guard import Guard
from gateway.errors import InvalidRequest, Notice, Problem
from gateway.urls import MAX_CALLBACK_URL_CHARACTERS, url_fault


def target_problem(guard: Guard, param: str, url: str) -> Problem | None:
    """The problem that can be found without a DNS lookup: not a valid URL (`url_scheme`, `url_userinfo` ...),
    or a forbidden address (`address_refused`)."""
    fault = url_fault(url, max_characters=MAX_CALLBACK_URL_CHARACTERS, fragment=False)
    if fault is None and (refusal := guard.check_literal(url)):
        fault = "address_refused", refusal
    return None if fault is None else Problem(param, *fault)


def check_target(guard: Guard, param: str, url: str) -> None:
    """Raises InvalidRequest for the problem that `target_problem` finds."""
    if problem := target_problem(guard, param, url):
        raise InvalidRequest([problem])


async def check_resolved_target(guard: Guard, param: str, url: str) -> tuple[Problem | None, Notice | None]:
    """Check the URL including a DNS lookup. Returns a problem that forbids it, and a warning.

    A name that cannot be resolved now (`name_unknown`) is only a warning: a subscriber may register before
    its name exists. Every connection resolves the name again.
    """
    if problem := target_problem(guard, param, url):
        return problem, None
    try:
        refusal = await guard.check_resolved(url)
    except OSError:
        message = "has a host name that cannot be resolved now; webhooks wait until it can be"
        return None, Notice(param, "name_unknown", message)
    return (Problem(param, "address_refused", refusal) if refusal else None), None
