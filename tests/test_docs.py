"""The documents say what the code says.

`python -m tests.test_docs` writes the tables of docs/settings.md anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from gateway.lifecycle import diagrams
from gateway.settings import Settings
from gateway.settings.callbacks import CallbackSettings
from gateway.settings.deliveries import DeliverySettings
from gateway.settings.edge import EdgeSettings
from gateway.settings.intake import IntakeSettings
from gateway.settings.process import ProcessSettings
from gateway.settings.upstream import UpstreamSettings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SETTINGS = DOCS / "settings.md"
DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"))
    if "node_modules" not in path.relative_to(ROOT).parts
)
MAX_LINE = 120
GROUPS: dict[str, type[BaseSettings]] = {
    group.__name__: group
    for group in (
        *(ProcessSettings, EdgeSettings, UpstreamSettings),
        *(CallbackSettings, IntakeSettings, DeliverySettings),
    )
}
_BLOCK = re.compile(r"(<!-- settings: (\w+)[^>]*-->\n).*?(<!-- /settings -->)", re.DOTALL)
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_ROOTS = ("gateway", "workers", "tests", "docs", "deploy")
#: A file or folder of the tree: by its path from the root, or by its name alone.
_PATH = re.compile(
    r"(?:gateway|workers|tests|docs|deploy)/[\w./*-]*|[\w.-]+\.(?:py|lua|js|css|html|ya?ml|toml|md)"
)


def settings_table(group: type[BaseSettings]) -> str:
    """Every setting of the group with its default and meaning."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in group.model_fields.items():
        rows.append(f"| `GATEWAY_{name.upper()}` | {_default(field)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return "**required**"
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, bool):
        return f"`{int(default)}`"
    if isinstance(default, list):
        default = ",".join(f"{one:g}" if isinstance(one, float) else str(one) for one in default)
    return "none" if default is None or default == "" else f"`{default}`"


def drawn(page: str) -> str:
    return _BLOCK.sub(lambda found: found[1] + settings_table(GROUPS[found[2]]) + found[3], page)


def test_the_tables_of_settings_are_current() -> None:
    page = SETTINGS.read_text()
    assert [name for _, name, _ in _BLOCK.findall(page)] == list(GROUPS)
    assert drawn(page) == page, "run: python -m tests.test_docs"


def test_every_setting_is_in_one_group() -> None:
    grouped = [name for group in GROUPS.values() for name in group.model_fields]
    assert sorted(grouped) == sorted(Settings.model_fields)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_variable_that_a_document_names_is_a_setting(document: Path) -> None:
    named = set(re.findall(r"`GATEWAY_([A-Z0-9_]+)[`=]", document.read_text()))
    assert named <= {name.upper() for name in Settings.model_fields}


def test_the_diagram_of_the_lifecycle_is_current() -> None:
    assert diagrams() in (DOCS / "lifecycle.md").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_line_is_too_long(document: Path) -> None:
    long = [
        f"{number}: {len(line)}"
        for number, line in enumerate(document.read_text().splitlines(), 1)
        if len(line) > MAX_LINE
    ]
    assert not long


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    text = _FENCE.sub("", document.read_text())
    for target, heading in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text):
        if "://" in target:
            continue
        there = document.parent / target if target else document
        assert there.exists(), target
        if heading:
            assert heading in _anchors(there), f"{target}#{heading}"


def _anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    if document.name == "CHANGELOG.md":  # it tells what was
        return
    assert [name for name in paths_in(document.read_text()) if not exists(name)] == []


def exists(name: str) -> bool:
    if "/" in name:
        return any(ROOT.glob(name.rstrip("/")))
    return any(ROOT.glob(name)) or any(found for root in _ROOTS for found in (ROOT / root).rglob(name))


def paths_in(text: str) -> list[str]:
    """Everything in backticks that looks like a path or the name of a file."""
    return [name for name in re.findall(r"`([^`\n]+)`", _FENCE.sub("", text)) if _PATH.fullmatch(name)]


def test_the_tree_of_the_architecture_is_that_of_the_repository() -> None:
    page = (DOCS / "architecture.md").read_text()
    found = re.search(r"^```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert found
    shown = list(tree(found[1]))
    assert len(shown) > 60
    assert [str(path) for path in shown if not (ROOT / path).exists()] == []
    folders = [
        *(one for root in ("gateway", "workers") for one in (ROOT / root).iterdir()),
        *(ROOT / "gateway" / "web").iterdir(),
    ]
    packages = {one.relative_to(ROOT) for one in folders if one.is_dir() and one.name != "__pycache__"}
    assert packages <= set(shown), "the tree leaves out a folder"


def tree(drawing: str) -> list[Path]:
    """Lines of `<indent><names>  <what they do>`, two spaces a level; a folder's name ends with a slash."""
    shown: list[Path] = []
    folders: list[Path] = []
    for line in drawing.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.split(r"\s{2,}", line.strip())[0].split()
        parent = folders[depth - 1] if depth else Path()
        shown += [parent / name.rstrip("/") for name in names]
        if names[0].endswith("/"):
            folders[depth:] = [parent / names[0].rstrip("/")]
    return shown


def test_the_way_of_a_job_names_files() -> None:
    """The page must be able to fail: it names what the tests above look for."""
    named = paths_in((DOCS / "architecture.md").read_text())
    assert {"gateway/web/api/jobs.py", "gateway/intake.py", "workers/submit.py"} <= set(named)
    assert len(named) > 30


def test_a_stranger_reads_the_readme_in_two_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


def main() -> None:
    """Writes the tables anew."""
    SETTINGS.write_text(drawn(SETTINGS.read_text()))
    print(f"{SETTINGS.relative_to(ROOT)} is current")


if __name__ == "__main__":
    main()
