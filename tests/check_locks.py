"""Fails when a lock file names a registry, lacks a hash, or does not hold what pyproject.toml asks for."""

from __future__ import annotations

import re
import sys
import tomllib
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([A-Za-z0-9._-]+)(\[[^\]]*\])?==([^ ;\\]+)(?P<rest>(?:.*\\\n)*.*)$", re.MULTILINE)


def pins(lock: Path) -> dict[str, str]:
    """{canonical name: version} of a lock file; exits when a pin has no hash."""
    found: dict[str, str] = {}
    for pin in PIN.finditer(lock.read_text()):
        if "--hash=sha256:" not in pin["rest"]:
            sys.exit(f"{lock.name}: {pin[1]} has no hash")
        found[canonicalize_name(pin[1])] = pin[3]
    return found


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    core = project["project"]["dependencies"]
    extras = project["project"]["optional-dependencies"]
    clients = (ROOT / "tests" / "clients" / "requirements.in").read_text().split()
    wanted = {
        "requirements.lock": core + extras["media"] + extras["s3"] + extras["sandbox"],
        "tests/clients/requirements.lock": clients,
        "requirements-dev.lock": [*core, *chain(*extras.values()), *project["dependency-groups"]["dev"]],
    }
    for name, requirements in wanted.items():
        text = (ROOT / name).read_text()
        if "://" in text:
            sys.exit(f"{name} names a registry or an address")
        locked = pins(ROOT / name)
        for requirement in map(Requirement, requirements):
            version = locked.get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                sys.exit(f"{name}: {requirement.name} {version} is not {requirement}; run make lock")
    print("lock files: ok")


if __name__ == "__main__":
    main()
