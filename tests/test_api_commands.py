"""Every command of docs/api.md, and those of Vidu's API in docs/clients.md, are run as they stand there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.extras import missing
from tests.nursery import Nursery
from tests.processes import Machine, follow, machine

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
CLIENTS = PAGE.with_name("clients.md")
# A refusal fails the script.
_PRELUDE = """set -e
curl() { command curl --fail-with-body --max-time 60 "$@"; }
"""


def script(made: Machine) -> str:
    vidu = re.search(r"^## Vidu's own API$.*?(?=^## |\Z)", CLIENTS.read_text(), re.DOTALL | re.MULTILINE)
    assert vidu
    whole = _PRELUDE + "".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text() + vidu[0], re.DOTALL))
    values = {
        "KEY=vgw_...": f"KEY={made.key}",
        "127.0.0.1:8080": f"127.0.0.1:{made.ports['gateway']}",
        "127.0.0.1:8090": f"127.0.0.1:{made.ports['sandbox']}",
    }
    for text, value in values.items():
        assert text in whole
        whole = whole.replace(text, value)
    return whole


@pytest.mark.processes
@pytest.mark.timeout(120)
def test_every_command_works_in_the_order_of_the_page(tmp_path: Path, nursery: Nursery) -> None:
    for program in ("curl", "bash"):
        if shutil.which(program) is None:
            missing(f"{program}, which runs the commands of docs/api.md")
    folder = tmp_path / "empty"
    folder.mkdir()
    with machine(tmp_path, nursery) as made:
        made.start_sandbox()
        made.start_gateway(GATEWAY_ALLOW_PRIVATE_MEDIA_URLS="1", GATEWAY_CLIENT_URL=made.gateway)
        made.start_workers(GATEWAY_CLIENT_URL=made.gateway)
        code, told = follow(script(made), folder)
    assert code == 0, told
    assert f'"stable_url":"{made.gateway}/v1/jobs/job_' in told
    video, start, shared = [(folder / f"{name}.mp4").read_bytes() for name in ("video", "start", "shared")]
    assert b"ftyp" in video[:16]
    assert start == video[:100]
    assert shared == video
    assert json.loads((folder / "task.json").read_text())["state"] == "created"
