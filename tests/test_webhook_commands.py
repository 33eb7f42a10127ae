"""Every command of docs/webhooks.md is run as it stands there, in one shell and an empty folder, against the
real service."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.extras import missing
from tests.nursery import Nursery
from tests.processes import Machine, follow, free_port, machine
from tests.test_webhook_examples import EXAMPLES

PAGE = Path(__file__).parents[1] / "docs" / "webhooks.md"
# A refusal fails the script. What would go on for ever, a stream or `listen`, ends when it has begun. The
# virtual environment is ours, so that pip finds its package there and needs no network.
_PRELUDE = f"""set -e
curl() {{
  case "$*" in
    "-N "*) code=0; command curl -sS -f --max-time 2 "$@" || code=$?; test $code = 0 -o $code = 28 ;;
    *) command curl --fail-with-body --max-time 20 "$@" ;;
  esac
}}
python3() {{
  if test "$1 $2" = "-m venv"; then ln -s {sys.prefix} "$3"; else command python3 "$@"; fi
}}
told() {{
  until grep -q "$1" told; do
    test -n "$(jobs -r)" || grep -q "$1" told || {{ echo "nothing runs that could print: $1"; return 1; }}
    sleep 0.05
  done
}}
vidu-gateway() {{
  {sys.executable} -m gateway.cli "$@" &
  told "waiting for events"
  kill -TERM $! && wait $!
}}
"""
#: What a reader waits for: a text of a block, and what is printed when it has been done.
_WAITS = {"subscriber.py 3000 &": "listening on", "/v1/jobs -H": "done: job.completed $JOB"}


def blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)


def script(made: Machine, port: int) -> str:
    """All commands in the order of the page, with the waits of a reader."""
    parts = [_PRELUDE]
    for block in blocks():
        parts.append(block)
        parts += [f'told "{wanted}"\n' for text, wanted in _WAITS.items() if text in block]
    whole = "".join(parts)
    values = {
        "KEY=vgw_...": f"KEY={made.key}",
        "127.0.0.1:8080": f"127.0.0.1:{made.ports['gateway']}",
        "127.0.0.1:8090": f"127.0.0.1:{made.ports['sandbox']}",
        "3000": str(port),
    }
    for text, value in values.items():
        assert text in whole
        whole = whole.replace(text, value)
    return whole


@pytest.mark.processes
@pytest.mark.timeout(120)
def test_every_command_works_in_an_empty_folder_in_the_order_of_the_page(
    tmp_path: Path, nursery: Nursery
) -> None:
    for program in ("curl", "bash"):
        if shutil.which(program) is None:
            missing(f"{program}, which runs the commands of docs/webhooks.md")
    folder = tmp_path / "empty"
    folder.mkdir()
    shutil.copy(EXAMPLES / "subscriber.py", folder)  # as the page says
    with machine(tmp_path, nursery) as made:
        made.start_sandbox()
        made.start_gateway(GATEWAY_ALLOW_PRIVATE_MEDIA_URLS="1")
        made.start_workers()
        code, told = follow(script(made, free_port()), folder)
    assert code == 0, told
    for part in (
        '"delivered":true',
        "kept: evt_test_",
        "kept: evt_",
        '"disabled_at":null',
        '"trigger":"manual"',
        '"id":"rec_',
        '"secret":"whsec_',
        "stopped: ",
        "event: job.completed",
    ):
        assert part in told, told
