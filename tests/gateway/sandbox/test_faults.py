from __future__ import annotations

import pytest

from gateway.sandbox.faults import KNOWN, Fault, FaultQueue, markers, parse, without_markers
from gateway.sandbox.refusals import RequestRefused


def test_a_marker_has_a_value_and_a_count() -> None:
    assert markers("a [[fault:slow=2.5]] fox [[fault:429*3]]") == [
        Fault("slow", "2.5"),
        Fault("429", None, 3),
    ]


@pytest.mark.parametrize("text", ["nonsense", "", "slow=soon", "429=x", "429**2", "late_callback=-1"])
def test_an_unknown_marker_is_refused(text: str) -> None:
    with pytest.raises(RequestRefused):
        parse(text)


def test_the_refusal_of_an_unknown_marker_names_the_known_ones() -> None:
    with pytest.raises(RequestRefused) as caught:
        markers("[[fault:meteor]]")
    assert all(name in caught.value.message for name in KNOWN)


def test_a_marker_with_a_count_applies_only_to_the_first_creations_of_its_prompt() -> None:
    book = FaultQueue()
    applied = ["429" in book.due("[[fault:429*2]] fox") for _ in range(4)]
    assert applied == [True, True, False, False]
    assert "429" in book.due("[[fault:429*2]] another fox")


def test_a_marker_without_a_count_always_applies() -> None:
    book = FaultQueue()
    assert all("500" in book.due("[[fault:500]]") for _ in range(5))


def test_queued_faults_apply_to_one_creation_after_the_other() -> None:
    book = FaultQueue()
    book.queue(parse("429"), 2)
    book.queue(parse("slow=3"), 1)
    assert [list(book.due("fox")) for _ in range(4)] == [["429"], ["429"], ["slow"], []]


def test_cleared_faults_do_not_apply() -> None:
    book = FaultQueue()
    book.queue(parse("429"), 2)
    book.clear()
    assert (book.queued(), book.due("fox")) == ([], {})


def test_a_caption_does_not_show_markers() -> None:
    assert without_markers("a fox[[fault:429*2]] runs").split() == ["a", "fox", "runs"]
