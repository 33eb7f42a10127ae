"""What is too long is named, and what is just short enough is not."""

from __future__ import annotations

import pytest

from tests.check_sizes import MAX_FILE, MAX_FUNCTION, too_long


@pytest.mark.parametrize("over", [0, 1])
def test_a_long_file_is_named(over: int) -> None:
    found = list(too_long("lib/x.lua", "-- a line\n" * (MAX_FILE + over)))
    assert found == ["lib/x.lua has 300 lines; split it, a file has at most 299"] * over


@pytest.mark.parametrize("over", [0, 1])
def test_a_long_function_is_named_wherever_it_is(over: int) -> None:
    text = "class A:\n    async def f(self):\n" + "        x = 1\n" * (MAX_FUNCTION - 1 + over)
    found = list(too_long("x.py", text))
    assert found == ["x.py: f has 60 lines; a function has at most 59"] * over
