"""Reads every field of a form, however a client writes it."""

from __future__ import annotations

import httpx
import pytest

from gateway.errors import MalformedBody
from gateway.web.http.form import MAX_FIELDS, Field, fields_of


def form(*parts: tuple[str, bytes], end: bytes = b"--b--\r\n") -> bytes:
    """Each part: its headers, and its content."""
    written = [b"--b\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n" for head, content in parts]
    return b"".join([*written, end])


def test_a_form_of_a_library_is_read_in_its_order() -> None:
    sent = httpx.Request(
        "POST",
        "http://x",
        data={"prompt": "a füx", "images[]": ["a", "b"]},
        files={"input_reference": ("a b.png", b"\x89PNG\r\n--", "image/png")},
    )
    boundary = sent.headers["content-type"].partition("boundary=")[2].encode()
    assert fields_of(sent.read(), boundary) == [
        Field("prompt", "a füx".encode(), False),
        Field("images[]", b"a", False),
        Field("images[]", b"b", False),
        Field("input_reference", b"\x89PNG\r\n--", True),
    ]


@pytest.mark.parametrize(
    ("head", "is_file"),
    [
        ('Content-Disposition: form-data; name="x"', False),
        ("content-disposition: form-data; name=x\r\nContent-Type: text/plain; charset=utf-8", False),
        ('Content-Disposition: form-data; name="x"; filename="a.png"', True),
        ('Content-Disposition: form-data; name="x"; filename=""', True),
        ('Content-Type: image/png\r\nContent-Disposition: form-data; name="x"', True),
        ('Content-Disposition: form-data; name="x"\r\nContent-Type: Video/MP4', True),
    ],
)
def test_a_file_has_a_name_or_the_type_of_one(head: str, is_file: bool) -> None:
    assert fields_of(form((head, b"v")), b"b") == [Field("x", b"v", is_file)]


def test_a_part_without_a_name_and_an_empty_value_are_read_too() -> None:
    assert fields_of(form(("X: y", b"")), b"b") == [Field("", b"", False)]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        form(("Content-Disposition: form-data; name=x", b"v"), end=b""),
        b"--c\r\n\r\nv\r\n--c--\r\n",
        b"--b\r\nno header\r\n\r\nv\r\n--b--\r\n",
        form(*[('Content-Disposition: form-data; name="x"', b"v")] * (MAX_FIELDS + 1)),
    ],
    ids=["empty", "json", "cut off", "another boundary", "a bad header", "too many fields"],
)
def test_what_is_no_form_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedBody) as refusal:
        fields_of(raw, b"b")
    assert [one.code for one in refusal.value.problems] == ["wrong_form"]
