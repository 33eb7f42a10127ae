"""What it costs to import the client."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import gateway.client
from gateway import commands

FOLDER = Path(gateway.client.__file__).parent


def test_the_client_brings_nothing_of_the_service() -> None:
    script = (
        "import gateway.client, sys; "
        "assert 'redis' not in sys.modules and 'starlette' not in sys.modules; "
        "print(sorted(name for name in sys.modules if name.startswith('gateway.') "
        "and not name.startswith('gateway.client')))"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_folder_could_be_a_package_of_its_own() -> None:
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert node.module is not None
                assert node.module.split(".")[0] in {*sys.stdlib_module_names, "httpx"}
            if isinstance(node, ast.Import):
                for one in node.names:
                    assert one.name.split(".")[0] in {*sys.stdlib_module_names, "httpx"}


def test_the_command_line_has_no_other_http_client() -> None:
    for path in Path(commands.__file__).parent.glob("*.py"):
        text = path.read_text()
        assert not [one for one in ("http.client", "urllib.request", "aiohttp", "httpx.") if one in text], (
            path
        )
