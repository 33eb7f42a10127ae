"""The check of the Lua scripts finds what it is there for, and is never left out in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import check_lua

PARTS = {
    "first": "local first = {}\nfirst.MOST = 1\nfunction first.free(x)\n  return P .. x\nend\nreturn first\n",
    "second": "local second = {}\nfunction second.two()\n  return first.free(2)\nend\n\nreturn second\n",
}

needs_luacheck = pytest.mark.skipif(shutil.which("luacheck") is None, reason=check_lua.MISSING)


def check(text: str, **parts: str) -> int:
    return check_lua.check(PARTS | parts, {"script": text})


@needs_luacheck
@pytest.mark.parametrize(
    "text",
    [
        "return frist.free(KEYS[1])\n",  # a misspelt part
        "return first.fee(KEYS[1])\n",  # a misspelt function of a part
        "first.MOST = 2\nreturn 1\n",
        "return free(KEYS[1])\n",  # a function without its part
        "found = 1\nreturn found\n",
        "local unused = 1\nreturn first.free(KEYS[1])\n",
        "return os.time()\n",
        "return (\n",
    ],
)
def test_a_fault_is_found(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert check(text) != 0
    assert "script.lua:" in capfd.readouterr().out


@needs_luacheck
@pytest.mark.parametrize(
    "text",
    [
        "return first.free(KEYS[1]) .. first.MOST .. second.two()\n",
        "return redis.call('SET', KEYS[1], cjson.encode({ ARGV[1] })) -- a comment\n",
    ],
)
def test_a_script_as_it_should_be_passes(text: str) -> None:
    assert check(text) == 0


@needs_luacheck
@pytest.mark.parametrize("of", ["second.two()", "KEYS[1]", "ARGV[1]", "first.fee()"])
def test_a_part_uses_only_the_parts_before_it(of: str, capfd: pytest.CaptureFixture[str]) -> None:
    text = PARTS["first"].replace("P .. x", f"P .. x .. {of}")
    assert check("return 1\n", first=text) != 0
    assert "first.lua:" in capfd.readouterr().out


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_missing_luacheck_is_said_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], ci: str, code: int
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    assert check_lua.main() == code
    assert capsys.readouterr().out == check_lua.MISSING + "\n"
