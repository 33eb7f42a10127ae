"""Runs luacheck over every part and verb. Without luacheck it says so, and fails only in CI."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from gateway.store.script_library import parts, verbs

ROOT = Path(__file__).parents[1]
MISSING = "luacheck is not installed: Lua is not checked (apt-get install lua-check)"


def check(parts: Mapping[str, str], verbs: Mapping[str, str]) -> int:
    """luacheck's exit code for these texts, {name: text}; it prints what it finds. A part may use the parts
    before it, a verb all of them, and both only what is defined there."""
    exports = {name: _exports(name, text) for name, text in parts.items()}
    names, found = list(parts), 0
    with tempfile.TemporaryDirectory() as folder:
        for at, (name, text) in enumerate(parts.items()):
            found |= _run(Path(folder), {name: text}, {one: exports[one] for one in names[:at]}, [])
            if unknown := set(re.findall(rf"\b{name}\.(?!lua\b|py\b)(\w+)", text)) - set(exports[name]):
                print(f"{name}.lua: names what {name} does not have: {', '.join(sorted(unknown))}")
                found = 1
        found |= _run(Path(folder), verbs, exports, ["KEYS", "ARGV"])
    return found


def _exports(name: str, text: str) -> list[str]:
    """The functions and constants of a part."""
    lines = re.findall(rf"^(?:function )?({name}\.\w+.*?)(?: = .*|\(.*)$", text, re.MULTILINE)
    return sorted(set(re.findall(rf"\b{name}\.(\w+)", "\n".join(lines))))


def _run(folder: Path, texts: Mapping[str, str], tables: Mapping[str, list[str]], more: list[str]) -> int:
    known = [f"{name} = {{ fields = {{ {', '.join(map(repr, names))} }} }}" for name, names in tables.items()]
    config = folder / "config"
    config.write_text(
        (ROOT / ".luacheckrc").read_text()
        + "".join(f"table.insert(read_globals, {name!r})\n" for name in more)
        + "".join(f"read_globals.{line}\n" for line in known)
    )
    files = []
    for name, text in texts.items():
        files.append(folder / f"{name}.lua")
        files[-1].write_text(text)
    command = ["luacheck", "--config", str(config), "--codes", "--no-color", "-q"]
    return subprocess.run([*command, *map(str, files)], check=False).returncode


def main() -> int:
    if shutil.which("luacheck") is None:
        print(MISSING)
        return 1 if os.environ.get("CI") == "true" else 0
    code = check(parts(), verbs())
    if code == 0:
        print(f"Lua: {len(parts())} parts and {len(verbs())} verbs ok")
    return code


if __name__ == "__main__":
    sys.exit(main())
