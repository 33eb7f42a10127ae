"""What the media store has of an archived job: a document, and a long payload beside it, both deflated.

They hold texts exactly as Redis had them. Their names are hashes of their content: writing them again changes
nothing, and damage is seen when they are read. Clients choose the payload, and lists have none: a long one is
an object of its own, so that who reads many documents does not load it.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import orjson

from gateway import assets
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS, born_at

#: The folder in the media store: `archive/<hour>/<job id>/<hash>.json.gz`, and `<hash>.payload.gz`.
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
        *("completed_at", "failed_at", "canceled_at", "archived_bytes"),
    )
)
_KEPT_STEMS: Final = ("told:", "answered:", assets.FIELD)


class Damaged(ValueError):
    """The object is not what was written."""


@dataclass(frozen=True, slots=True)
class Document:
    """`job`: the dropped fields of its record. `history`: entries as they were stored. `logs`: {delivery:
    log}. `events`: {id: fields}. Everything as Redis had it. `long_payload`: the hash of the payload's own
    object, if it has one."""

    job: Mapping[str, str]
    payload: str | None = None
    history: list[str] = field(default_factory=list)
    logs: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    long_payload: str | None = None


def is_kept(name: str) -> bool:
    """Whether this field of a job's record stays in Redis."""
    return name in _KEPT or name.startswith(_KEPT_STEMS)


def dump(document: Document) -> tuple[bytes, bytes | None]:
    """The object of the document, and that of its payload if it is longer than any event shows. The same
    bytes for the same document."""
    payload = None
    if document.payload is not None and len(document.payload) > EVENT_PAYLOAD_CHARACTERS:
        payload = gzip.compress(document.payload.encode(), _LEVEL, mtime=0)
        document = replace(document, payload=None, long_payload=digest_of(payload))
    raw = orjson.dumps({"version": _VERSION, **asdict(document)}, option=orjson.OPT_SORT_KEYS)
    return gzip.compress(raw, _LEVEL, mtime=0), payload


def unpacked_bytes(raw: bytes) -> int:
    """What it unpacks to, as its last four bytes say. True if it has the hash of its name."""
    return int.from_bytes(raw[-4:], "little")


def load(raw: bytes, digest: str) -> Document:
    """Raises Damaged if the bytes are not those that have this hash."""
    found = orjson.loads(_unpack(raw, digest))
    if (version := found.pop("version")) != _VERSION:
        raise Damaged(f"it was written by a newer version of this service: {version}")
    return Document(**found)


def load_payload(raw: bytes, digest: str) -> str:
    """Raises Damaged if the bytes are not those that have this hash."""
    return _unpack(raw, digest).decode()


def _unpack(raw: bytes, digest: str) -> bytes:
    if digest_of(raw) != digest:
        raise Damaged("its content does not have the hash of its name")
    return gzip.decompress(raw)


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


def payload_key_of(job_id: str, digest: str) -> str:
    return f"{folder_of(job_id)}/{digest}.payload.gz"
