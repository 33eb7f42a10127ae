"""The documents say what the code says.

`python -m tests.test_docs` writes the tables of docs/settings.md and deploy/env.example anew.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from gateway.lifecycle import diagrams
from gateway.settings import SECRETS, Settings
from gateway.settings.callbacks import CallbackSettings
from gateway.settings.deliveries import DeliverySettings
from gateway.settings.edge import EdgeSettings
from gateway.settings.intake import IntakeSettings
from gateway.settings.mirror import MirrorSettings
from gateway.settings.money import MoneySettings
from gateway.settings.process import ProcessSettings
from gateway.settings.upstream import UpstreamSettings
from gateway.variables import FILE

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SETTINGS = DOCS / "settings.md"
EXAMPLE = ROOT / "deploy" / "env.example"
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
        *(CallbackSettings, IntakeSettings, MoneySettings, DeliverySettings, MirrorSettings),
    )
}
_BLOCK = re.compile(r"(<!-- settings: (\w+)[^>]*-->\n).*?(<!-- /settings -->)", re.DOTALL)
_HEADING = re.compile(r"^## (.+)\n\n<!-- settings: (\w+)", re.MULTILINE)
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
        default = _default(field)
        shown = "**required**" if default is None else f"`{default}`" if default else "none"
        shown += " †" if name in SECRETS else ""
        rows.append(f"| `GATEWAY_{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str | None:
    """As the variable's text; None if it must be set."""
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return None
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, bool):
        return str(int(default))
    if isinstance(default, list):
        return ",".join(f"{one:g}" if isinstance(one, float) else str(one) for one in default)
    return "" if default in (None, {}) else str(default)


_HEAD = """\
# Settings of vidu-gateway. Copy this file to .env (compose reads it) and fill in the first two.
# A commented line shows the default. A wrong value or a misspelt name stops the process; stderr names it.
# Lists are separated by commas. Times are in seconds. A secret may be in a file: NAME_FILE is its path.
# docs/settings.md says more. Both are drawn from gateway/settings: python -m tests.test_docs

# For compose.yaml, in production: folders on two filesystems of their own. Inline media belong to user
# 10001. The append-only file needs three times maxmemory, and a full disk stops Valkey.
#VIDU_GATEWAY_BLOBS=/srv/vidu-gateway-blobs
#VIDU_GATEWAY_REDIS=/srv/vidu-gateway-redis
"""
#: Lines above a variable besides its description.
_HINTS = {
    "secret_keys": 'python -c "from gateway.keyring import Keyring; print(Keyring.generate())"',
    "delivery_networks": "Those of subscribers, such as 10.20.0.0/16, and not all that is private.",
}


def env_example() -> str:
    """deploy/env.example: each setting below its description, first those that must be set."""
    sections: dict[str, list[tuple[str, FieldInfo]]] = {"Must be set": []}
    for heading, group in _HEADING.findall(SETTINGS.read_text()):
        fields = GROUPS[group].model_fields.items()
        sections["Must be set"] += [one for one in fields if _default(one[1]) is None]
        sections[heading] = [one for one in fields if _default(one[1]) is not None]
    parts = [_HEAD]
    for heading, settings in sections.items():
        parts.append(f"# --- {heading} {'-' * (MAX_LINE - len(heading) - 15)}\n")
        parts += [_assignment(name, field) for name, field in settings]
    return "\n".join(parts).rstrip() + "\n"


def _assignment(name: str, field: FieldInfo) -> str:
    text = (field.description or "").replace("`", "")
    lines = [f"# {line}" for line in textwrap.wrap(text, MAX_LINE - 2)]
    lines += [f"#   {_HINTS[name]}"] if name in _HINTS else []
    default = _default(field)
    optional = "#" if default is not None else ""
    return "\n".join([*lines, f"{optional}GATEWAY_{name.upper()}={default or ''}\n"])


def drawn(page: str) -> str:
    return _BLOCK.sub(lambda found: found[1] + settings_table(GROUPS[found[2]]) + found[3], page)


def test_the_tables_of_settings_are_current() -> None:
    page = SETTINGS.read_text()
    assert [name for _, name, _ in _BLOCK.findall(page)] == list(GROUPS)
    assert drawn(page) == page, "run: python -m tests.test_docs"


def test_the_example_has_each_setting_below_its_description() -> None:
    assert EXAMPLE.read_text() == env_example(), "run: python -m tests.test_docs"


def test_every_setting_is_in_one_group() -> None:
    grouped = [name for group in GROUPS.values() for name in group.model_fields]
    assert sorted(grouped) == sorted(Settings.model_fields)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_variable_that_a_document_names_is_a_setting(document: Path) -> None:
    named = set(re.findall(r"`GATEWAY_([A-Z0-9_]+)[`=]", document.read_text()))
    files = {f"{name.upper()}{FILE}" for name in SECRETS}
    assert named <= {name.upper() for name in Settings.model_fields} | files


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
    assert {"gateway/web/api/jobs.py", "gateway/intake/__init__.py", "workers/submit.py"} <= set(named)
    assert len(named) > 30


def test_a_stranger_reads_the_readme_in_two_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


def main() -> None:
    """Writes the tables and the example anew."""
    SETTINGS.write_text(drawn(SETTINGS.read_text()))
    EXAMPLE.write_text(env_example())
    print(f"{SETTINGS.relative_to(ROOT)} and {EXAMPLE.relative_to(ROOT)} are current")


if __name__ == "__main__":
    main()
