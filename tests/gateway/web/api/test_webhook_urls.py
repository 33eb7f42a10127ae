"""Whether a URL is taken for webhooks: what the client is answered."""

from __future__ import annotations

import pytest

from gateway.delivery.guard import Guard
from gateway.errors import InvalidRequest
from gateway.web.api.webhook_urls import check_resolved_target, check_target, target_problem
from tests.gateway.delivery.test_guard_own import Names

GUARD = Guard(
    ["10.0.0.0/8"], look_up=Names(**{"inside.example": ["10.0.0.1"], "outside.example": ["8.8.8.8"]})
)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://hooks.example/", "url_scheme"),
        ("http://u@hooks.example/", "url_userinfo"),
        ("http://hooks.example/#part", "url_fragment"),
        ("http://8.8.8.8/", "address_refused"),
        ("http://hooks.example:22/", "address_refused"),
    ],
)
async def test_what_is_wrong_without_a_lookup_is_the_same_with_one(url: str, code: str) -> None:
    problem = target_problem(GUARD, "url", url)
    assert problem is not None
    assert (problem.param, problem.code) == ("url", code)
    with pytest.raises(InvalidRequest) as caught:
        check_target(GUARD, "url", url)
    assert caught.value.problems == (problem,)
    assert await check_resolved_target(GUARD, "url", url) == (problem, None)


async def test_a_name_is_looked_up_where_that_is_asked_for() -> None:
    assert target_problem(GUARD, "url", "http://outside.example/") is None
    problem, warning = await check_resolved_target(GUARD, "url", "http://outside.example/")
    assert problem is not None
    assert (problem.param, problem.code, warning) == ("url", "address_refused", None)
    assert await check_resolved_target(GUARD, "url", "http://inside.example/") == (None, None)


async def test_a_name_that_is_not_known_yet_is_a_warning() -> None:
    problem, warning = await check_resolved_target(GUARD, "url", "http://later.example/")
    assert problem is None
    assert warning is not None
    assert (warning.param, warning.code) == ("url", "name_unknown")
