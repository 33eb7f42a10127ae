"""Every command, target, module and route that a document names exists, and takes the words it is given."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route
from typer.main import get_command

from gateway.cli import app
from gateway.web.app import create_app
from tests.conftest import new_settings
from tests.test_docs import DOCUMENTS, ROOT

#: Pages and files of the deployment name commands too.
SOURCES = [
    *(path for path in DOCUMENTS if path.name != "CHANGELOG.md"),  # it tells what was
    *(ROOT / "deploy").glob("*.yaml"),
    *(ROOT / "gateway/web/pages/templates").glob("*.html"),
]
_FENCE = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ANY_FENCE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`|<code>([^<]+)</code>|^#     (.+)$", re.MULTILINE)
_COMMAND = re.compile(r"(?:^|\s)(?:\S*/)?vidu-gateway\s+([a-z].*)")
_ROUTE = re.compile(
    r"(?:\b(GET|POST|PATCH|DELETE|PUT) )?(/(?:v1|ops/api|model/v1|api/v1)/[\w./{}$-]*|\.\.\./\w+)"
)


def lines(fence: str) -> list[str]:
    """The commands of a block, without comments and what their output goes to."""
    joined = fence.replace("\\\n", " ")
    return [re.sub(r"(^|\s)#.*|[>&|].*$", "", line).strip() for line in joined.splitlines()]


def inline(text: str) -> list[str]:
    found = [next(filter(None, groups)) for groups in _INLINE.findall(text)]
    return [re.sub(r"\s+", " ", re.sub(r"{{.*?}}", "NAME", one)) for one in found]


def command_lines(path: Path) -> Iterator[tuple[str, bool]]:
    """The words after `vidu-gateway`, and whether they are a whole command."""
    text = path.read_text()
    for fence in _FENCE.findall(text):
        yield from ((found[1], True) for line in lines(fence) if (found := _COMMAND.search(line)))
    for one in inline(_ANY_FENCE.sub("", text)):
        if found := _COMMAND.search(one):
            yield found[1], False
        elif re.match(rf"(?:{'|'.join(groups())}) [a-z|]+(?= |$)", one):
            yield one, False


@cache  # to make all commands takes longer than to parse a page
def command_line() -> Any:
    return get_command(app)


def groups() -> list[str]:
    return [name for name, one in command_line().commands.items() if hasattr(one, "commands")]


def parsed(words: list[str], whole: bool) -> None:
    """Raises for a command or an option that does not exist, and for a wrong value of a whole command."""
    command = command_line()
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        first, *words = words
        names = first.split("|")
        assert set(names) <= set(command.commands), f"there is no command {first}"
        command = command.commands[names[-1]]
    if whole:
        with command.make_context("vidu-gateway", words):
            return
    known = {option for one in command.params for option in one.opts} | {"--help"}
    given = {option for word in words for option in re.findall(r"(--[a-z-]+)", word)}
    assert given <= known, f"there is no option {given - known}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_command_line_can_be_parsed(path: Path) -> None:
    for text, whole in command_lines(path):
        parsed(shlex.split(text), whole)


def test_the_pages_name_commands_at_all() -> None:
    named = {path.name: len(list(command_lines(path))) for path in SOURCES}
    assert named["operations.md"] > 25
    assert min(named[name] for name in ("README.md", "webhooks.md", "compose.yaml", "login.html")) > 0


@pytest.mark.parametrize(
    "text",
    ["keys create --tenant a --scop x", "tenants forget a", "tenants set a --weight much", "keys create"],
)
def test_a_command_line_that_does_not_work_is_found(text: str) -> None:
    with pytest.raises(Exception, match=r"option|command|valid|[Mm]issing"):
        parsed(shlex.split(text), whole=True)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_target_and_module_exists(path: Path) -> None:
    text = path.read_text()
    spoken = [
        *(line for fence in _FENCE.findall(text) for line in lines(fence)),
        *inline(_ANY_FENCE.sub("", text)),
    ]
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in spoken:
        if found := re.match(r"make (?:[A-Z]+=\S+ )*([a-z]+)", line):
            assert found[1] in targets, line
        if found := re.search(r"\bpython3? -m ([\w.]+)", line):
            assert importlib.util.find_spec(found[1]), line


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    settings = new_settings("redis://127.0.0.1:6379/0", tmp_path_factory.mktemp("routes"))
    return {
        (method, re.sub(r"{[\w:]+}", "{}", route.path))
        for route in create_app(settings).routes
        if isinstance(route, Route)
        for method in route.methods or ()
    }


def routes_in(text: str) -> Iterator[tuple[str, str]]:
    """Method (empty if not named) and path; `...` at its end stands for more, at its beginning for less."""
    for method, path in _ROUTE.findall(text):
        yield (
            method,
            re.sub(r"{\w+}|\$\w+|\bjob_[0-9A-Z]{26}\b", "{}", path.rstrip(".") if path[0] == "/" else path),
        )


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_route_exists(path: Path, routes: set[tuple[str, str]]) -> None:
    if path.name == "CHANGELOG.md":
        return
    text = path.read_text()
    assert [one for one in routes_in(text) if not is_there(*one, routes, text)] == []


def is_there(method: str, named: str, routes: set[tuple[str, str]], text: str) -> bool:
    paths = [path for verb, path in routes if method in ("", verb)]
    if named.startswith("..."):
        return any(path.endswith(named[3:]) for path in paths)
    if f"{named}..." in re.sub(r"{\w+}", "{}", text):
        return any(f"{path}/".startswith(f"{named.rstrip('/')}/") for path in paths)
    return named in paths


def test_the_pages_name_routes_at_all() -> None:
    named = {path.name: len(list(routes_in(path.read_text()))) for path in DOCUMENTS}
    assert named["operations.md"] > 30
    assert named["webhooks.md"] > 15
