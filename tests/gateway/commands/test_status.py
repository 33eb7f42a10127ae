"""Figures that are watched on the command line: how old they are, and whether they still hold."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.commands import status
from gateway.commands.status import Feed
from gateway.errors import Unavailable


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds."""
    now = [1000.0]
    monkeypatch.setattr(status, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=time.sleep))
    return now


def test_new_figures_are_shown_with_their_age(clock: list[float]) -> None:
    feed = Feed(lambda: {"at": "now"}, every=2)
    feed.update()
    assert feed.found == {"at": "now"}
    assert feed.headline().plain == "figures are 0 s old"


@pytest.mark.parametrize(("age", "stale"), [(3, False), (4, False), (5, True), (60, True)])
def test_figures_that_an_answer_should_have_replaced_are_stale(
    clock: list[float], age: int, stale: bool
) -> None:
    feed = Feed(dict, every=2)
    feed.update()
    clock[0] += age
    assert feed.headline().plain.startswith("STALE: ") is stale
    assert f"figures are {age} s old" in feed.headline().plain


def test_a_refusal_makes_them_stale_at_once_and_is_named_and_the_last_figures_stay(
    clock: list[float],
) -> None:
    refusal = Unavailable("GET /ops/api/overview answered 503")
    answers: list[Any] = [{"at": "then"}, refusal, KeyboardInterrupt()]

    def find() -> dict[str, Any]:
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        found: dict[str, Any] = answer
        return found

    feed = Feed(find, every=0)
    feed.update()
    with pytest.raises(KeyboardInterrupt):
        feed.run()
    assert feed.found == {"at": "then"}
    assert feed.headline().plain == "STALE: figures are 0 s old; GET /ops/api/overview answered 503"
