"""Each script has what it needs of the parts, and nothing else."""

from __future__ import annotations

import re
from typing import Final

import pytest
from redis.asyncio import Redis

from gateway.store import script_runner
from gateway.store.script_linker import compose

PARTS: Final = """-- a part
local P = '{gw}:'
local ONE, TWO = 1, 2 -- of `three`

-- What nobody needs.
local function lonely()
  return TWO
end

local function leaf(x)
  return P .. x
end

local function branch(x)
  -- not lonely(), which is named here alone
  return leaf(x) .. ONE
end
"""


def test_what_a_verb_names_comes_with_all_that_this_names() -> None:
    made = compose(PARTS, "-- lonely\nreturn branch('x')\n")
    assert "local function branch" in made
    assert "local function leaf" in made
    assert "local P =" in made
    assert "lonely" not in made.replace("-- lonely", "")
    assert made.index("local P =") < made.index("leaf(x)") < made.index("branch(x)")


def test_a_verb_that_names_nothing_stands_alone() -> None:
    assert compose(PARTS, "return 1\n") == "return 1\n"


async def test_every_script_finds_all_that_it_names(redis: Redis) -> None:
    """Lua would find out only when the line is run: what is not made here is asked of the global table."""
    made = {verb: script.source for verb, script in script_runner.linked_scripts().items()}
    functions = re.findall(r"^local function (\w+)", script_runner.shared_parts(), re.MULTILINE)
    for verb, source in made.items():
        await redis.script_load(source.decode())
        text = re.sub(r"--[^\n]*", "", source.decode())
        for name in functions:
            called = re.search(rf"(?<![\w.]){name}\(", text)
            assert not called or f"local function {name}(" in text, f"{verb} lacks {name}"


@pytest.mark.parametrize("verb", sorted(script_runner.linked_scripts()))
def test_nothing_is_defined_twice(verb: str) -> None:
    made = compose(script_runner.shared_parts(), _read(f"{verb}.lua"))
    names = re.findall(r"^local function (\w+)", made, re.MULTILINE)
    assert len(names) == len(set(names))


def test_what_every_worker_runs_all_the_time_pays_for_no_function_of_the_parts() -> None:
    for verb in ("claim_arq_jobs", "put_back_arq_jobs"):
        assert b"local function" not in script_runner.linked_scripts()[verb].source


def _read(name: str) -> str:
    return (script_runner._FOLDER / name).read_text()
