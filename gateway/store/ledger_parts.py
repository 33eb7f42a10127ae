"""The closed days of the ledger in the media store: parts of deflated JSON lines, named by their content.

A line is an entry as Redis had it, with its id. Which parts a day has is in Redis: a lost part is noticed.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import orjson

#: `ledger/<day>/<number>-<hash>.jsonl.z`
FOLDER: Final = "ledger"
PART_ENTRIES: Final = 10_000
_LEVEL: Final = 6
_DIGEST_DIGITS: Final = 32

#: An entry as stored: its id and its fields.
Stored = tuple[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the media store has of a day. `parts`: hashes, in order."""

    entries: int
    parts: list[str]

    def dump(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Manifest:
        return cls(**orjson.loads(text))


class Damaged(ValueError):
    """The object is not what was written."""


def dump(entries: Sequence[Stored]) -> bytes:
    lines = (
        orjson.dumps({"id": name, **fields}, option=orjson.OPT_APPEND_NEWLINE) for name, fields in entries
    )
    return zlib.compress(b"".join(lines), _LEVEL)


def load(raw: bytes, digest: str) -> list[Stored]:
    """Raises Damaged if the bytes are not those that have this hash."""
    if digest_of(raw) != digest:
        raise Damaged("its content does not have the hash of its name")
    found = [orjson.loads(line) for line in zlib.decompress(raw).splitlines()]
    return [(one.pop("id"), one) for one in found]


def digest_of(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:_DIGEST_DIGITS]


def folder_of(day: str) -> str:
    return f"{FOLDER}/{day}"


def key_of(day: str, number: int, digest: str) -> str:
    return f"{folder_of(day)}/{number:05d}-{digest}.jsonl.z"
