"""Clients of other APIs as processes that take orders."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import extras

HERE = Path(__file__).parent
PYTHON = extras.FOLDER / "clients" / "bin" / "python"
NODE = extras.FOLDER / "clients-javascript"
#: Libraries must not ask the internet for anything.
ENVIRONMENT = {
    **os.environ,
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "PYTHONWARNINGS": "ignore::DeprecationWarning",
}


class Refused(Exception):
    """The call raised an error. `name`: of its class; `status`: of the HTTP answer, if it has one."""

    def __init__(self, name: str, status: int | None, message: str) -> None:
        super().__init__(f"{name} {status}: {message}")
        self.name, self.status = name, status


@dataclass
class Client:
    process: subprocess.Popen[str]
    base: str
    key: str

    def call(self, name: str, *, base: str = "", key: str = "", **args: Any) -> Any:
        """The value of a call of the library. Raises Refused."""
        order = {"call": name, "base": base or self.base, "key": key or self.key, "args": args}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self._line())
        if "error" in answer:
            raise Refused(answer["error"], answer["status"], answer["message"])
        return answer["value"]

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the client ended"
        return line


@contextlib.contextmanager
def running(name: str, base: str, key: str) -> Iterator[Client]:
    """`name`: of a library in the lock files, else the test is skipped."""
    command = interpreter(name, NODE)
    if name == "openai-node":
        shutil.copy(HERE / "programs" / "node.mjs", NODE / "node.mjs")
        command.append(str(NODE / "node.mjs"))
    else:
        program = HERE / "programs" / "python.py"
        command += [str(program), "openai" if name == "openai-python" else name]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        try:
            client = Client(process, base, key)
            assert client._line() == "ready\n"
            yield client
        finally:
            process.kill()


def interpreter(name: str, folder: Path) -> list[str]:
    """What runs a program in this folder that uses the library; else the test is skipped."""
    if name == "openai-node":
        if not _same(NODE / "fetched.json", HERE / "javascript" / "package-lock.json"):
            extras.missing("node with OpenAI's library")
        if not (folder / "node_modules").exists():
            (folder / "node_modules").symlink_to(NODE / "node_modules")
        return ["node"]
    if not _same(PYTHON.parents[1] / "fetched.lock", HERE / "requirements.lock"):
        extras.missing("environment with OpenAI's library and litellm")
    return [str(PYTHON)]


def _same(fetched: Path, lock: Path) -> bool:
    return fetched.exists() and fetched.read_bytes() == lock.read_bytes()
