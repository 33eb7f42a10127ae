"""Whether a URL that webhooks are to go to can be taken, as far as can be told without a lookup."""

from __future__ import annotations

from gateway.delivery.guard import Guard
from gateway.errors import InvalidRequest, Problem
from gateway.generation_rules import MAX_CALLBACK_URL_CHARACTERS
from gateway.urls import url_fault


def check_target(guard: Guard, param: str, url: str) -> None:
    """InvalidRequest for what is no URL (`url_scheme`, `url_userinfo` ...), and with `address_refused` for an
    address that would never be dialled."""
    fault = url_fault(url, max_characters=MAX_CALLBACK_URL_CHARACTERS, fragment=False)
    if fault is None and (refusal := guard.check_literal(url)):
        fault = "address_refused", refusal
    if fault is not None:
        raise InvalidRequest([Problem(param, *fault)])
