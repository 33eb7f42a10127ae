"""Fails when a file of the product has 300 lines or more, or a function of it 60 or more."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_FILE, MAX_FUNCTION = 299, 59


def too_long(name: str, text: str) -> Iterator[str]:
    """What is too long in a file: itself, and functions of it, if it is Python."""
    if (lines := len(text.splitlines())) > MAX_FILE:
        yield f"{name} has {lines} lines; split it, a file has at most {MAX_FILE}"
    for node in ast.walk(ast.parse(text)) if name.endswith(".py") else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION:
                yield f"{name}: {node.name} has {lines} lines; a function has at most {MAX_FUNCTION}"


def main() -> None:
    ours = [path for package in ("gateway", "workers") for path in (ROOT / package).rglob("*")]
    paths = sorted(path for path in ours if path.suffix in (".py", ".lua"))
    found = [line for path in paths for line in too_long(str(path.relative_to(ROOT)), path.read_text())]
    if found:
        sys.exit("\n".join(found))
    print(f"sizes: {len(paths)} files ok")


if __name__ == "__main__":
    main()
