"""What the media store has of an archived job: JSON, deflated, under a name that says its hash.

It holds texts exactly as Redis had them. Its name is made of its content: writing it again changes nothing,
and damage is seen when it is read.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Final

import orjson

from gateway import assets
from gateway.jobs import born_at

#: The folder in the media store: `archive/<hour>/<job id>/<hash>.json.gz`.
FOLDER: Final = "archive"
HOUR_MS: Final = 3_600_000
_VERSION: Final = 1
_LEVEL: Final = 6
_DIGEST_DIGITS: Final = 32
#: Fields of a job's record that stay in Redis. The scripts need them for a late callback, to forget the job,
#: and for its copies; Python needs them to list the job's events.
_KEPT: Final = frozenset(
    (
        *("state", "tenant", "created_at", "finished_at", "idempotency", "bytes", "archived"),
        *("epoch", "task_id", "earlier", "account", "elsewhere", "released_at", "evidence", "uploads"),
        *("claimed_at", "claimed_epoch", "task_lost_at", "called_back_at", "late_at"),
        *("completed_at", "failed_at", "canceled_at"),
    )
)
_KEPT_STEMS: Final = ("told:", "answered:", assets.FIELD)


class Damaged(ValueError):
    """The object is not what was written."""


@dataclass(frozen=True, slots=True)
class Document:
    """`job`: the dropped fields of its record. `history`: entries as they were stored. `logs`: {delivery:
    log}. `events`: {id: fields}. Everything as Redis had it."""

    job: Mapping[str, str]
    payload: str | None = None
    history: list[str] = field(default_factory=list)
    logs: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def is_kept(name: str) -> bool:
    """Whether this field of a job's record stays in Redis."""
    return name in _KEPT or name.startswith(_KEPT_STEMS)


def dump(document: Document) -> bytes:
    """The same bytes for the same document."""
    raw = orjson.dumps({"version": _VERSION, **asdict(document)}, option=orjson.OPT_SORT_KEYS)
    return gzip.compress(raw, _LEVEL, mtime=0)


def load(raw: bytes, digest: str) -> Document:
    """Raises Damaged if the bytes are not those that have this hash."""
    if digest_of(raw) != digest:
        raise Damaged("its content does not have the hash of its name")
    found = orjson.loads(gzip.decompress(raw))
    if (version := found.pop("version")) != _VERSION:
        raise Damaged(f"it was written by a newer version of this service: {version}")
    return Document(**found)


def digest_of(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:_DIGEST_DIGITS]


def hour_folder(ms: int) -> str:
    """The folder of the jobs that were born in that hour."""
    return f"{FOLDER}/{datetime.fromtimestamp(ms / 1000, UTC):%Y%m%d%H}"


def folder_of(job_id: str) -> str:
    """Where all objects of the job are. A move that was cut short may have left more than one."""
    return f"{hour_folder(born_at(job_id))}/{job_id}"


def key_of(job_id: str, digest: str) -> str:
    return f"{folder_of(job_id)}/{digest}.json.gz"
