"""How long the randomised tests search: `make test FAULT_SCALE=n` makes them search n times as long."""

from __future__ import annotations

import os
from typing import Final

#: 0: the smallest search that still finds what it is there to find, as in `make test`.
SCALE: Final = float(os.environ.get("FAULT_SCALE", "0"))


def scaled(examples: int) -> int:
    return max(1, int(examples * (SCALE or 1)))
