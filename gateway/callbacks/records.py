"""A verified callback: as one line of JSON and back, and the warning when one is out of place."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any, Final

import orjson
import structlog

from gateway.jobs import JOB_ID
from gateway.store.base import Callback, CallbackOutcome

#: None of these comes as long as Redis keeps what it acknowledged and tasks are named right.
_STRANGE: Final = (
    CallbackOutcome.AHEAD,
    CallbackOutcome.ORPHAN,
    CallbackOutcome.CROSSED,
    CallbackOutcome.EARLIER,
)
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
    """Raises ValueError for anything that `to_line` did not make: a line may have met a failing disk."""
    fields: Any = orjson.loads(line)
    if not isinstance(fields, dict) or not _NEEDED.keys() <= fields.keys() <= _TYPES.keys():
        raise ValueError("not the fields of a callback")
    for name, value in fields.items():
        if type(value) not in _TYPES[name]:
            raise ValueError(f"{name} is of a wrong type")
    if not JOB_ID.match(fields["job_id"]) or fields["epoch"] < 0:
        raise ValueError("not a submission of a job")
    return Callback(**{**fields, "raw": base64.b64decode(fields.get("raw", ""), validate=True)})


def warn_of(callback: Callback, effect: CallbackOutcome) -> None:
    """Logs `callback_out_of_place` when the effect is a strange one, whichever way the callback took."""
    if effect in _STRANGE:
        structlog.get_logger().warning(
            "callback_out_of_place",
            job=callback.job_id,
            tenant=callback.tenant,
            epoch=callback.epoch,
            task=callback.task_id,
            reason=effect,
        )
