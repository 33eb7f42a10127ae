"""What some tests need beside Python's packages. `make extras` fetches it; without it they are skipped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NoReturn

import pytest

FOLDER: Final = Path(__file__).parents[1] / ".extras"


def missing(what: str) -> NoReturn:
    """Skips the test; where CI is set it fails, because CI must test everything."""
    said = f"NOT TESTED: this machine has no {what}"
    if os.environ.get("CI"):
        pytest.fail(f"{said}, and CI must have it")
    pytest.skip(said)
