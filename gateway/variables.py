"""Environment variables: secrets that are kept in files, and misspelt names. It never shows a value."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gateway.errors import ConfigurationError

#: `NAME_FILE` is the path of a file that holds the secret `NAME`.
FILE: Final = "_FILE"

_UNITS: Final = ("S", "SECONDS", "MS", "MINUTES", "HOURS", "DAYS", "BYTES", "MB", "CHARACTERS")
_LONG_NAME: Final = 10


def secret(name: str, given: str = "") -> str:
    """`given` (the value of an option or of the variable), or else what the file of `NAME_FILE` holds,
    without newlines at its end. Empty if there is neither. Raises ConfigurationError if there are both, or if
    the file cannot be read or is empty."""
    path = os.environ.get(name + FILE)
    if not path or (given and not os.environ.get(name)):
        return given
    if given:
        raise ConfigurationError(f"{name} and {name}{FILE} are both set; set only one of them")
    try:
        found = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(f"{name}{FILE}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name}{FILE}: {path} is not text in UTF-8") from None
    if not found:
        raise ConfigurationError(f"{name}{FILE}: {path} is empty")
    return found


def acknowledgements() -> int:
    """How many replicas must have what a command of the command line writes, by the settings of the service.
    Raises ConfigurationError."""
    if os.environ.get("GATEWAY_DURABILITY") != "replicated":
        return 0
    count = os.environ.get("GATEWAY_REPLICAS_ACK", "1")
    if not count.isdecimal():
        raise ConfigurationError("GATEWAY_REPLICAS_ACK: must be a number")
    return int(count)


def meant(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` probably misspells: one or two letters differ, or its unit does."""
    stem = _without_unit(name)
    limit = 2 if len(stem) >= _LONG_NAME else 1
    distances = {other: _distance(stem, _without_unit(other)) for other in known}
    nearest = min(distances, key=distances.__getitem__, default=None)
    return nearest if nearest is not None and distances[nearest] <= limit else None


def _without_unit(name: str) -> str:
    words = name.split("_")
    return "_".join(words[:-1]) if words[-1] in _UNITS else name


def _distance(one: str, other: str) -> int:
    """How many letters to insert, delete, replace or swap with their neighbour, to make one of the other."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, another in enumerate(other, 1):
            cost = min(last[j] + 1, row[-1] + 1, last[j - 1] + (letter != another))
            if i > 1 and j > 1 and letter == other[j - 2] and another == one[i - 2]:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
