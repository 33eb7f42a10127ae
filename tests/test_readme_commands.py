"""The commands of the README's tour are run as they stand there, with other ports, in a folder like ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.extras import missing
from tests.processes import follow, free_port
from tests.test_docs import ROOT

# A reader waits for the webhook before the next block. `make up` is in a terminal of its own.
_PRELUDE = """set -e
told() { until grep -q "$1" told; do sleep 0.05; done; }
"""


def tour() -> list[str]:
    """The blocks of "Run it": start the service; post a job; look at it; look at the sandbox."""
    section = (ROOT / "README.md").read_text().split("## Run it\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


@pytest.mark.processes
@pytest.mark.timeout(300)
def test_the_tour_ends_with_a_video_and_a_verified_webhook(tmp_path: Path) -> None:
    for program in ("curl", "bash"):
        if shutil.which(program) is None:
            missing(f"{program}, which runs the commands of the README")
    ports = {name: str(free_port()) for name in ("8080", "8090", "9000")}
    up, post, look, faults = tour()
    assert up == "make up\n"
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    script = f'{_PRELUDE}{post}told "verified: evt_"\n{look}{faults}'
    for written, port in ports.items():
        script = script.replace(f":{written}/", f":{port}/").replace(f" {written} ", f" {port} ")
    environment = {name: value for name, value in os.environ.items() if "GATEWAY" not in name}
    command = [sys.executable, "-m", "gateway.cli", "up"]
    command += ["--port", ports["8080"], "--sandbox-port", ports["8090"]]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout is not None
        try:
            assert any(line.startswith("curl ") for line in service.stdout), "it ended before it was ready"
            code, told = follow(script, tmp_path)
        finally:
            service.terminate()
            service.stdout.read()
    assert code == 0, told
    assert "HTTP/1.1 202" in told
    assert re.search(r"verified: evt_\w+ job.completed job_", told)
    for problem in ("prompt", "duration", "resolution", "images"):
        assert f'"param":"{problem}' in told, told
    assert re.search(r'"object":"link","url":"http://127.0.0.1:\d+/v1/jobs/job_\w+/content\?variant=', told)
    assert b"ftyp" in (tmp_path / "video.mp4").read_bytes()[:16]
