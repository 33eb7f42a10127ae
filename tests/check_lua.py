"""Runs luacheck over every script as it is linked. Without luacheck it says so, and fails only in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from gateway.store.script_linker import piece_names
from gateway.store.script_runner import linked_scripts, shared_parts

ROOT = Path(__file__).parents[1]
MISSING = "luacheck is not installed: Lua is not checked (apt-get install lua-check)"


def check(scripts: Mapping[str, bytes], part_names: Iterable[str]) -> int:
    """luacheck's exit code for these linked texts, {name: text}; it prints what it finds.

    A script gets each part whose name stands in it as a word. When the word is only a local variable of the
    script, the part is unused (211) and shadowed (4..): that is the linker's business, and no finding.
    """
    ignored = [f"{code}/{name}" for name in sorted(part_names) for code in ("211", "4")]
    with tempfile.TemporaryDirectory() as folder:
        for name, text in scripts.items():
            Path(folder, f"{name}.lua").write_bytes(text)
        command = ["luacheck", "--config", str(ROOT / ".luacheckrc"), "--codes", "--no-color", "-q"]
        return subprocess.run([*command, folder, "--ignore", *ignored], check=False).returncode


def main() -> int:
    if shutil.which("luacheck") is None:
        print(MISSING)
        return 1 if os.environ.get("CI") == "true" else 0
    linked = {name: script.source for name, script in linked_scripts().items()}
    code = check(linked, piece_names(shared_parts()))
    if code == 0:
        print(f"Lua: {len(linked)} scripts ok")
    return code


if __name__ == "__main__":
    sys.exit(main())
