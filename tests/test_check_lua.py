"""The check of the Lua scripts finds what it is there for, and is never left out in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.store.script_linker import compose, piece_names
from tests import check_lua

PARTS = "local P = '{gw}:'\nlocal function free(x)\n  return P .. x\nend\n"

needs_luacheck = pytest.mark.skipif(shutil.which("luacheck") is None, reason=check_lua.MISSING)


def check(text: str) -> int:
    return check_lua.check({"script": compose(PARTS, text).encode()}, piece_names(PARTS))


@needs_luacheck
@pytest.mark.parametrize(
    "text",
    [
        "return fee(KEYS[1])\n",  # a misspelt part
        "found = 1\nreturn found\n",
        "local unused = 1\nreturn free(KEYS[1])\n",
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
        "return free(KEYS[1])\n",
        "return redis.call('SET', KEYS[1], cjson.encode({ ARGV[1] })) -- a comment\n",
        "local free = 1\nreturn free\n",  # brings a part along that it does not use
    ],
)
def test_a_script_as_it_should_be_passes(text: str) -> None:
    assert check(text) == 0


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_missing_luacheck_is_said_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], ci: str, code: int
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    assert check_lua.main() == code
    assert capsys.readouterr().out == check_lua.MISSING + "\n"
