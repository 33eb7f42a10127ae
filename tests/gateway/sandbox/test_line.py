from __future__ import annotations

from gateway.sandbox.line import Line


def test_without_a_limit_everybody_starts_at_once() -> None:
    line, started = Line(None), list[str]()
    for name in "abc":
        assert line.enter(name, lambda name=name: started.append(name))  # type: ignore[misc]
    assert started == ["a", "b", "c"]


def test_the_surplus_starts_in_the_order_it_came() -> None:
    line, started = Line(2), list[str]()
    entered = [line.enter(name, lambda name=name: started.append(name)) for name in "abcd"]  # type: ignore[misc]
    assert (entered, started) == ([True, True, False, False], ["a", "b"])
    line.leave("b")
    line.leave("a")
    assert started == ["a", "b", "c", "d"]


def test_who_gives_up_waiting_is_not_started_and_frees_no_place() -> None:
    line, started = Line(1), list[str]()
    for name in "abc":
        line.enter(name, lambda name=name: started.append(name))  # type: ignore[misc]
    line.leave("b")
    line.leave("stranger")
    assert started == ["a"]
    line.leave("a")
    assert started == ["a", "c"]
