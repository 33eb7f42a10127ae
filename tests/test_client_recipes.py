"""The recipes for Python in docs/clients.md are one program, which is run against the real service."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.client.conftest import FOX
from tests.nursery import Nursery
from tests.processes import free_port, machine

PAGE = Path(__file__).parents[1] / "docs" / "clients.md"


def recipes() -> str:
    section = PAGE.read_text().split("\n## Python\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))


@pytest.mark.processes
@pytest.mark.timeout(120)
def test_every_recipe_works_in_the_order_of_the_page(tmp_path: Path, nursery: Nursery) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    shutil.copy(FOX, folder / "fox.jpg")
    with machine(tmp_path, nursery) as made:
        made.start_sandbox()
        made.start_gateway(GATEWAY_ALLOW_PRIVATE_MEDIA_URLS="1", GATEWAY_CLIENT_URL=made.gateway)
        made.start_workers(GATEWAY_CLIENT_URL=made.gateway)
        program = recipes()
        for written, port in (("8090", made.ports["sandbox"]), ("9000", free_port())):
            assert f":{written}/" in program
            program = program.replace(f":{written}/", f":{port}/")
        (folder / "program.py").write_text(program)
        environment = {**made.environment, "VIDU_GATEWAY_URL": made.gateway, "VIDU_GATEWAY_KEY": made.key}
        ran = subprocess.run(
            [sys.executable, "-W", "error", "program.py"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    for part in (
        f"{made.gateway}/v1/jobs/job_",
        "customer 4711",
        "job.completed",
        "&sig=",
        "already completed",
    ):
        assert part in ran.stdout
    videos = {path.name for path in folder.glob("*.mp4")}
    assert videos == {"fox.mp4", "scene-0.mp4", "scene-1.mp4", "scene-2.mp4"}
    assert all(b"ftyp" in (folder / name).read_bytes()[:16] for name in videos)


def test_the_types_of_the_recipes_hold_for_those_who_install_it(tmp_path: Path) -> None:
    def checked(program: str) -> str:
        (tmp_path / "program.py").write_text(program)
        command = [sys.executable, "-m", "mypy", "--strict", "program.py"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout

    assert "Success" in checked(recipes())
    assert 'incompatible type "str"; expected "int"' in checked(
        recipes().replace("duration=4", 'duration="4"')
    )
