"""A callback as one line of JSON, and back, strictly: a line may have met a failing disk."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any, Final

import orjson

from gateway.jobs import JOB_ID
from gateway.store.base import Callback

_NEEDED: Final[dict[str, tuple[type, ...]]] = {
    "job_id": (str,),
    "tenant": (str,),
    "epoch": (int,),
    "label": (str,),
}
_TYPES: Final = _NEEDED | {
    "task_id": (str, type(None)),
    "terminal": (bool,),
    "working": (bool,),
    "distrusted": (bool,),
    "claimed": (dict, type(None)),
    "raw": (str,),
    "nonce": (str, type(None)),
    "account": (str,),
}


def to_line(callback: Callback) -> bytes:
    """The newline included; `raw` in base64."""
    fields = {**asdict(callback), "raw": base64.b64encode(callback.raw).decode()}
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def from_line(line: bytes) -> Callback:
    """Raises ValueError for anything that `to_line` did not make."""
    fields: Any = orjson.loads(line)
    if not isinstance(fields, dict) or not _NEEDED.keys() <= fields.keys() <= _TYPES.keys():
        raise ValueError("not the fields of a callback")
    for name, value in fields.items():
        if type(value) not in _TYPES[name]:
            raise ValueError(f"{name} is of a wrong type")
    if not JOB_ID.match(fields["job_id"]) or fields["epoch"] < 0:
        raise ValueError("not a submission of a job")
    return Callback(**{**fields, "raw": base64.b64decode(fields.get("raw", ""), validate=True)})
