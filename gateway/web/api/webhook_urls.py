"""Whether a URL that webhooks are to go to can be taken."""

from __future__ import annotations

from gateway.delivery.guard import Guard
from gateway.errors import InvalidRequest, Notice, Problem
from gateway.urls import MAX_CALLBACK_URL_CHARACTERS, url_fault


def target_problem(guard: Guard, param: str, url: str) -> Problem | None:
    """What can be told without a lookup: what is no URL (`url_scheme`, `url_userinfo` ...), and with
    `address_refused` what would never be dialled."""
    fault = url_fault(url, max_characters=MAX_CALLBACK_URL_CHARACTERS, fragment=False)
    if fault is None and (refusal := guard.check_literal(url)):
        fault = "address_refused", refusal
    return None if fault is None else Problem(param, *fault)


def check_target(guard: Guard, param: str, url: str) -> None:
    """InvalidRequest for what `target_problem` finds."""
    if problem := target_problem(guard, param, url):
        raise InvalidRequest([problem])


async def check_resolved_target(guard: Guard, param: str, url: str) -> tuple[Problem | None, Notice | None]:
    """A problem that forbids the URL, and one to warn of. Names are looked up.

    A name that cannot be looked up now (`name_unknown`) is but a warning: a subscriber may well register
    before its name is there. Every dial looks the name up again.
    """
    if problem := target_problem(guard, param, url):
        return problem, None
    try:
        refusal = await guard.check_resolved(url)
    except OSError:
        message = "has a host whose name cannot be looked up now; webhooks wait until it can be"
        return None, Notice(param, "name_unknown", message)
    return (Problem(param, "address_refused", refusal) if refusal else None), None
