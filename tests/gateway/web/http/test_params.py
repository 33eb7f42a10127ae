"""Parameters are read strictly: every kind, every fault, and all faults at once."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import pytest
from starlette.requests import Request

from gateway.web.http.headers import gather
from gateway.web.http.params import InvalidValue, Param, Params, Reader, choice, integer, seconds, text
from gateway.web.http.problems import Refusal


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


LIMIT = integer("limit", "At most.", 1, 100, 20)
COLOUR = choice("colour", "Its colour.", Colour)
SHADE = choice("shade", "Its shade.", Colour, Colour.BLUE)
NAME = text("name", "Its name.", "^[a-z]{1,5}$", "the name of a thing")
OWNER = text("owner", "Whose.", "^[a-z]{1,5}$", "the name of an owner", missing="say whose: owner=NAME")
DEADLINE = seconds("Gateway-Deadline", "Until when.", 60)
MOOD = choice("Gateway-Mood", "How.", Colour)


def _words(given: str) -> list[str]:
    if given == "bad":
        raise InvalidValue("wrong_form", "is bad")
    return given.split(",")


WORDS: Param[list[str] | None] = Param("Words", "Some.", {"type": "string"}, _words, None, repeatable=True)

QUERY = (LIMIT, COLOUR, SHADE, NAME)
HEADERS = (DEADLINE, MOOD, WORDS)


def read(
    query: str = "",
    headers: Sequence[tuple[str, bytes]] = (),
    *,
    of_query: tuple[Param[Any], ...] = QUERY,
    of_headers: tuple[Param[Any], ...] = (),
    **how: Any,
) -> Params:
    raw = [(name.lower().encode(), value) for name, value in headers]
    scope = {"type": "http", "query_string": query.encode(), "headers": raw}
    gather(scope)
    return Reader(of_query, of_headers, **how).read(Request(scope))


def faults(
    query: str = "", headers: Sequence[tuple[str, bytes]] = (), **how: Any
) -> list[tuple[str, str, str]]:
    with pytest.raises(Refusal) as caught:
        read(query, headers, **how)
    assert caught.value.status_code == 400
    return [(problem.param, problem.code, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("query", "param", "value"),
    [
        ("", LIMIT, 20),
        ("limit=1", LIMIT, 1),
        ("limit=100", LIMIT, 100),
        ("limit=007", LIMIT, 7),
        ("", COLOUR, None),
        ("colour=red", COLOUR, Colour.RED),
        ("", SHADE, Colour.BLUE),
        ("shade=red", SHADE, Colour.RED),
        ("", NAME, None),
        ("name=abc", NAME, "abc"),
        ("limit=3&name=abc", NAME, "abc"),
    ],
)
def test_each_kind_has_its_type_and_its_default(query: str, param: Param[Any], value: object) -> None:
    found = read(query)[param]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        *(
            (f"limit={value}", ("limit", "out_of_range", "send a whole number from 1 to 100"))
            for value in ("0", "101", "-1", "1.5", "", "x", "1e2", "%D9%A1", "1%0A", "9999999999")
        ),
        *(
            (f"colour={value}", ("colour", "not_one_of", "send one of red, blue"))
            for value in ("RED", "green", "", "red%0A")
        ),
        *(
            (
                f"name={value}",
                ("name", "wrong_form", "is not the name of a thing, which matches ^[a-z]{1,5}$"),
            )
            for value in ("", "ABC", "abcdef", "abc%0A")
        ),
        ("limit=1&limit=1", ("limit", "given_twice", "is given twice; send it once")),
        (
            "limits=1",
            ("limits", "unknown_parameter", "is not a parameter here; use limit, colour, shade, name"),
        ),
        ("x" * 80 + "=1", ("x" * 64, "unknown_parameter", "")),
    ],
)
def test_each_fault_is_named_with_the_way_out(query: str, fault: tuple[str, str, str]) -> None:
    [(param, code, message)] = faults(query)
    assert (param, code) == fault[:2]
    assert not fault[2] or message == fault[2]


def test_where_there_are_no_parameters_none_is_accepted() -> None:
    assert faults("a=1", of_query=()) == [
        ("a", "unknown_parameter", "is not a parameter here; there are none; leave it out")
    ]


def test_a_name_that_people_try_has_its_own_hint() -> None:
    assert faults("wait=1", hints={"wait": "send the header Prefer"}) == [
        ("wait", "unknown_parameter", "send the header Prefer")
    ]


def test_what_must_be_there_is_missed_with_its_own_message() -> None:
    assert faults("", of_query=(OWNER,)) == [("owner", "required", "say whose: owner=NAME")]
    assert faults("limit=1", of_query=(OWNER, LIMIT)) == [("owner", "required", "say whose: owner=NAME")]
    assert read("owner=abc", of_query=(OWNER,))[OWNER] == "abc"


def test_what_is_wrong_or_given_twice_is_not_missed_as_well() -> None:
    assert [code for _, code, _ in faults("owner=ABC", of_query=(OWNER,))] == ["wrong_form"]
    assert [code for _, code, _ in faults("owner=A&owner=b", of_query=(OWNER,))] == [
        "wrong_form",
        "given_twice",
    ]


def test_a_form_sends_what_was_left_empty_and_an_api_must_not() -> None:
    form = read("limit=&name=&owner=abc", of_query=(LIMIT, NAME, OWNER), blank_is_absent=True)
    assert (form[LIMIT], form[NAME], form[OWNER]) == (20, None, "abc")
    assert faults("owner=", of_query=(OWNER,), blank_is_absent=True) == [
        ("owner", "required", "say whose: owner=NAME")
    ]


def test_headers_are_read_and_white_space_around_them_is_not() -> None:
    given = [("Gateway-Deadline", b" 7\t"), ("Gateway-Mood", b"red")]
    found = read("", given, of_headers=HEADERS)
    assert (found[DEADLINE], found[MOOD], found[WORDS]) == (7, Colour.RED, None)


@pytest.mark.parametrize("value", [b"0", b"61", b"", b"soon", b"\xb2", b"1.5"])
def test_a_header_that_is_wrong_is_named(value: bytes) -> None:
    assert faults("", [("Gateway-Deadline", value)], of_headers=HEADERS) == [
        ("Gateway-Deadline", "out_of_range", "send whole seconds from 1 to 60")
    ]


def test_a_header_that_is_given_twice_is_refused_unless_it_is_a_list() -> None:
    twice = [("Gateway-Mood", b"red"), ("Gateway-Mood", b"red")]
    assert faults("", twice, of_headers=HEADERS) == [
        ("Gateway-Mood", "given_twice", "is given twice; send it once")
    ]
    listed = read("", [("Words", b"a"), ("Words", b"b,c")], of_headers=HEADERS)
    assert listed[WORDS] == ["a", "b", "c"]


def test_a_mistyped_option_is_refused_with_the_name_that_was_meant() -> None:
    assert faults("", [("Gateway-Modo", b"red")], of_headers=HEADERS) == [
        ("gateway-modo", "unknown_parameter", "is not an option here; did you mean Gateway-Mood?")
    ]
    assert faults("", [("Gateway-Zzzzzzzzz", b"1")], of_headers=HEADERS) == [
        (
            "gateway-zzzzzzzzz",
            "unknown_parameter",
            "is not an option here; use Gateway-Deadline, Gateway-Mood",
        )
    ]


def test_other_headers_are_nobodys_business() -> None:
    assert read("", [("X-Team", b"video")], of_headers=HEADERS)[MOOD] is None
    assert read("", [("Gateway-Modo", b"red")], of_headers=(WORDS,))[WORDS] is None


def test_all_faults_come_at_once_each_under_its_name() -> None:
    given = [("Gateway-Deadline", b"x"), ("Gateway-Modo", b"red"), ("Words", b"bad")]
    found = faults("limit=0&zzz=1&colour=x&colour=y", given, of_headers=HEADERS, of_query=(*QUERY, OWNER))
    assert [(param, code) for param, code, _ in found] == [
        ("limit", "out_of_range"),
        ("zzz", "unknown_parameter"),
        ("colour", "not_one_of"),
        ("colour", "given_twice"),
        ("Gateway-Deadline", "out_of_range"),
        ("Words", "wrong_form"),
        ("gateway-modo", "unknown_parameter"),
        ("owner", "required"),
    ]


def test_no_request_is_answered_with_more_than_twenty_faults() -> None:
    assert len(faults("&".join(f"a{number}=1" for number in range(50)))) == 20


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("limit=0", "limit: send a whole number from 1 to 100"),
        ("colour=x&limit=0", "2 problems, listed in errors"),
    ],
)
def test_the_detail_is_the_one_problem_or_how_many_there_are(query: str, detail: str) -> None:
    with pytest.raises(Refusal) as caught:
        read(query)
    assert caught.value.detail == detail
