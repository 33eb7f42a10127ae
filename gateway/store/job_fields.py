"""A job as the fields of its Redis hash, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from gateway import assets
from gateway.assets import Asset, Variant
from gateway.jobs import Job, Priority
from gateway.lifecycle import JobState, OnUnknown

_JSON = (
    *("params", "warnings", "output", "usage", "metadata", "error", "earlier", "claimed", "late"),
    *("elsewhere", "uploads", "callback_events", "inline_bytes", "paid", "budgets"),
)
_INTEGERS = (
    "created_at",
    "epoch",
    "submitting_at",
    "released_at",
    "unknown_at",
    "submitted_at",
    "finished_at",
    "polls",
    "unknown_status_polls",
    "misses",
    "payload_characters",
    "start_by",
    "end_by",
    "resubmits",
    "lost",
    "refusals",
    "called_back_at",
    "claimed_at",
    "task_lost_at",
    "cancel_wished_at",
    "watch_until",
    "mirrored_at",
    "deleted_at",
    "estimate",
    "reserved",
    "suspense",
    "sent_again",
    "charged",
)
_TEXTS = (
    *("run", "tenant", "model", "callback_url", "task_id", "idempotency", "evidence", "cancel_refused"),
    *("account", "trace", "door", "archived", "key", "priced", "charge_basis"),
)


def to_fields(**values: object) -> dict[str, str | bytes | int | float]:
    """Values as fields of a Redis hash. None is omitted: an absent field means None."""
    fields: dict[str, str | bytes | int | float] = {}
    for name, value in values.items():
        if value is None:
            continue
        if name == "assets":
            assert isinstance(value, dict)
            fields |= {f"{assets.FIELD}{variant}": asset.dump() for variant, asset in value.items()}
        elif name in _JSON:
            fields[name] = orjson.dumps(value)
        else:
            assert isinstance(value, str | int | float)
            fields[name] = value
    return fields


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(_INTEGERS, int),
    **dict.fromkeys(_JSON, orjson.loads),
    "state": JobState,
    "progress": float,
    "on_unknown": OnUnknown,
    "priority": Priority,
    "upper_bound": "1".__eq__,
}


def from_fields(job_id: str, fields: Mapping[str, str]) -> Job:
    """The job from the fields of its Redis hash; of an archived one, what these say. Raises ValueError,
    KeyError or TypeError if it is unreadable."""
    values: dict[str, Any] = {"model": "", "params": {}} if "archived" in fields else {}
    files: dict[Variant, Asset] = {}
    for name, text in fields.items():
        if (reader := _READERS.get(name)) is not None:
            values[name] = reader(text)
        elif name.startswith(assets.FIELD):
            files[Variant(name.removeprefix(assets.FIELD))] = assets.load(text)
    return Job(id=job_id, assets=files, **values)
