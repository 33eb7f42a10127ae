"""Converts a verified callback to a line of JSON and back, and warns of a callback that is out of place."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any, Final

import orjson
import structlog

from gateway.jobs import JOB_ID
from gateway.store.base import Callback, CallbackOutcome

#: These cannot happen as long as Redis keeps what it acknowledged and the upstream names the right task.
_UNEXPECTED: Final = (
    CallbackOutcome.AHEAD,
    CallbackOutcome.ORPHAN,
    CallbackOutcome.CROSSED,
    CallbackOutcome.EARLIER,
)
_REQUIRED: Final[dict[str, tuple[type, ...]]] = {
    "job_id": (str,),
    "tenant": (str,),
    "epoch": (int,),
    "label": (str,),
}
_TYPES: Final = _REQUIRED | {
    "task_id": (str, type(None)),
    "terminal": (bool,),
    "working": (bool,),
    "distrusted": (bool,),
    "claimed": (dict, type(None)),
    "raw": (str,),
    "nonce": (str, type(None)),
    "account": (str,),
    "callback_url": (str, type(None)),
    "door": (str, type(None)),
}
#: A process of an older version does not know them, and may replay what this one wrote.
_NEWER: Final = ("callback_url", "door")


def to_line(callback: Callback) -> bytes:
    """One line of JSON with its newline; `raw` is in Base64."""
    fields = {**asdict(callback), "raw": base64.b64encode(callback.raw).decode()}
    fields = {name: value for name, value in fields.items() if value is not None or name not in _NEWER}
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def from_line(line: bytes) -> Callback:
    """The reverse of `to_line`. ValueError for any other line: a failing disk may have damaged it."""
    fields: Any = orjson.loads(line)
    if not isinstance(fields, dict) or not _REQUIRED.keys() <= fields.keys() <= _TYPES.keys():
        raise ValueError("not the fields of a callback")
    for name, value in fields.items():
        if type(value) not in _TYPES[name]:
            raise ValueError(f"{name} has the wrong type")
    if not JOB_ID.match(fields["job_id"]) or fields["epoch"] < 0:
        raise ValueError("not a submission of a job")
    return Callback(**{**fields, "raw": base64.b64decode(fields.get("raw", ""), validate=True)})


def warn_if_unexpected(callback: Callback, effect: CallbackOutcome) -> None:
    """Logs `callback_out_of_place` if a callback had an unexpected effect, directly or by a replay."""
    if effect in _UNEXPECTED:
        structlog.get_logger().warning(
            "callback_out_of_place",
            job=callback.job_id,
            tenant=callback.tenant,
            epoch=callback.epoch,
            task=callback.task_id,
            reason=effect,
        )
