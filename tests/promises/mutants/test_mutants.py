"""The table of planted bugs fits the product as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from gateway.store.script_library import build, parts, verbs
from tests.promises.mutants.mutant import DoesNotApply, Mutant
from tests.promises.mutants.mutants import MUTANTS, PLANTED
from tests.promises.mutants.places import spans_of

TREE = Path(__file__).parents[3]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_still_applies_and_compiles(name: str, redis_url: str) -> None:
    mutant = MUTANTS[name]
    planted = mutant.applied(TREE)
    if mutant.file.endswith(".py"):
        compile(planted, mutant.file, "exec")
    if not mutant.file.endswith(".lua"):
        return
    tables, functions, name_of_part = dict(parts()), dict(verbs()), Path(mutant.file).stem
    (tables if "/lib/" in mutant.file else functions)[name_of_part] = planted
    with Redis.from_url(redis_url) as redis:
        redis.function_flush()
        redis.function_load(build(tables, functions).text.decode())


@pytest.mark.parametrize("name", MUTANTS)
def test_the_tests_that_are_named_are_there(name: str) -> None:
    assert MUTANTS[name].caught_by
    for test in MUTANTS[name].caught_by:
        path, *names = test.split("::")
        assert (TREE / path).exists(), test
        for one in names:
            assert f"def {one.partition('[')[0]}(" in (TREE / path).read_text(), test


def test_no_two_bugs_share_a_name_or_a_patch() -> None:
    assert len(MUTANTS) == len(PLANTED)
    patches = {(mutant.file, mutant.function, mutant.old, mutant.new) for mutant in PLANTED}
    assert len(patches) == len(PLANTED)


@pytest.mark.parametrize("text", ["", "def f():\n    old, old\n", "old\n", "def g():\n    old\n"])
def test_a_text_that_does_not_stand_once_in_its_function_is_no_patch(tmp_path: Path, text: str) -> None:
    (tmp_path / "file.py").write_text(text)
    with pytest.raises(DoesNotApply, match=r"f of file\.py"):
        Mutant("name", "file.py", "f", "old", "new", "", ()).applied(tmp_path)


_PYTHON = """\
ROWS = {
    "old": 1,
}
old

def f():
    x = old

class C:
    @property
    async def f(self):
        def g():
            old
"""
_LUA = """\
local function f(x)
  local function g()
    return old
  end
  if x then
    return g()
  end
end

local ROWS = {
  old = 1,
}
local ONE, TWO = 1, old
old()
"""


@pytest.mark.parametrize(
    ("file", "function", "line"),
    [
        *(("a.py", "ROWS", 2), ("a.py", "f", 7), ("a.py", "C.f.g", 13)),
        *(("a.lua", "f", 3), ("a.lua", "f.g", 3), ("a.lua", "ROWS", 11), ("a.lua", "TWO", 13)),
    ],
)
def test_a_bug_is_planted_in_its_function_alone(tmp_path: Path, file: str, function: str, line: int) -> None:
    text = _PYTHON if file == "a.py" else _LUA
    (tmp_path / file).write_text(text)
    planted = Mutant("name", file, function, "old", "new", "", ()).applied(tmp_path)
    assert [at for at, row in enumerate(planted.splitlines(), 1) if "new" in row] == [line]


def test_a_script_s_own_steps_are_what_stands_in_no_function() -> None:
    text = "local key = KEYS[1]\nlocal function f()\n  return old\nend\nreturn old\n"
    spans = spans_of(text, "a.lua", "")
    assert "".join(text[start:end] for start, end in spans) == "local key = KEYS[1]\nreturn old\n"
