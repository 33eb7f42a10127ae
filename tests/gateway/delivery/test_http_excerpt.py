"""What is kept of a reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.attempts import excerpt


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"plain\r\n\ttext", "plain\r\n\ttext"),
        ("视频 ✓".encode(), "视频 ✓"),
        (b"\x1b[31mred\x07", "?[31mred?"),
        ("a\u202eb\u2028c\x85d".encode(), "a?b?c?d"),
        (b"\x89PNG\r\n", "<6 bytes of binary>"),
        (b"a\0b", "<3 bytes of binary>"),
        (b"caf\xe9", "<4 bytes of binary>"),
        (b"a" * 5000, "a" * 2048),
        (("a" + "é" * 2000).encode(), "a" + "é" * 1023),
        (b"", ""),
    ],
)
def test_an_excerpt_is_safe_text(body: bytes, text: str) -> None:
    assert excerpt(body) == text


@given(st.binary(max_size=5000))
def test_an_excerpt_is_never_longer_than_its_limit(body: bytes) -> None:
    assert len(excerpt(body).encode()) <= 2048
