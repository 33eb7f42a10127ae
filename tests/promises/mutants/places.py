"""Where a function stands in a file of Python or Lua."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

Span = tuple[int, int]

_LUA_FUNCTION: Final = re.compile(
    r"^( *)(?:local function |function \w+\.)(\w+)\(.*?^\1end\b[^\n]*\n", re.MULTILINE | re.DOTALL
)
_LUA_CONSTANT: Final = re.compile(
    r"^local ([A-Z_, ]+?) =(?:[^\n]*\{[^}\n]*\n.*?^\}[^\n]*\n|[^\n]*\n)", re.MULTILINE | re.DOTALL
)


def spans_of(text: str, file: str, name: str) -> list[Span]:
    """The parts of `text` that belong to a qualified name: of a function, a class, or a constant of the file
    (`Submitter._record`, `judge_account`, `JOB_TRANSITIONS`). "": all that is in no function, such as the
    steps of a script, or a whole page. Empty when there is no such name."""
    found = list(_python(text) if file.endswith(".py") else _lua(text))
    if name:
        return [span for one, span in found if one == name]
    inside = sorted(span for one, span in found if "." not in one and _is_function(text, span))
    starts = [0, *(end for _, end in inside)]
    return list(zip(starts, [*(start for start, _ in inside), len(text)], strict=True))


def _is_function(text: str, span: Span) -> bool:
    return re.match(r"(?:(?:local )?function|(?:async )?def|class|@) ?", text[span[0] :]) is not None


def _python(text: str) -> Iterator[tuple[str, Span]]:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def walk(nodes: list[ast.stmt], stem: str) -> Iterator[tuple[str, Span]]:
        for node in nodes:
            assert node.end_lineno is not None
            span = (starts[node.lineno - 1], starts[node.end_lineno])
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    yield stem + node.name, span
                    yield from walk(node.body, f"{stem}{node.name}.")
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    if not stem:
                        yield name, span
                case _:
                    pass

    yield from walk(ast.parse(text).body, "")


def _lua(text: str, stem: str = "", at: int = 0) -> Iterator[tuple[str, Span]]:
    for found in _LUA_FUNCTION.finditer(text):
        yield stem + found[2], (at + found.start(), at + found.end())
        first = found[0].index("\n") + 1
        yield from _lua(found[0][first:], f"{stem}{found[2]}.", at + found.start() + first)
    if not stem:
        for value in _LUA_CONSTANT.finditer(text):
            for name in value[1].replace(",", " ").split():
                yield name, (value.start(), value.end())
