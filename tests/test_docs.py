"""The documents say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from gateway.lifecycle import diagrams
from gateway.settings import Settings

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
_BLOCK = re.compile(r"(<!-- settings:[^>]*-->\n).*?(<!-- /settings -->)", re.DOTALL)


def settings_table() -> str:
    """Every setting with its default and meaning, as the README shows it."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if default is PydanticUndefined or isinstance(default, SecretStr):
            shown = "**required**"
        elif isinstance(default, list):
            shown = f"`{','.join(str(item) for item in default)}`" if default else "none"
        elif isinstance(default, bool):
            shown = f"`{int(default)}`"
        elif default is None:
            shown = "none"
        else:
            shown = f"`{default}`" if str(default) else "none"
        rows.append(f"| `GATEWAY_{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


def test_the_readme_lists_every_setting() -> None:
    found = _BLOCK.search(README.read_text())
    assert found
    assert settings_table() in found[0], "run: python -m tests.test_docs"


def test_the_diagram_of_the_lifecycle_is_current() -> None:
    assert diagrams() in (ROOT / "docs" / "lifecycle.md").read_text()


def test_every_relative_link_of_the_documents_leads_somewhere() -> None:
    for document in [README, *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def main() -> None:
    """Writes the table anew."""
    text = README.read_text()
    README.write_text(_BLOCK.sub(lambda found: found[1] + settings_table() + found[2], text))


if __name__ == "__main__":
    main()
