"""How every dialect prepares a job's parameters and a task's id for a request."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

#: The gateway sets these itself; values from the job's parameters are ignored.
_OWNED = frozenset({"model", "payload", "callback_url"})


def sent_params(
    params: Mapping[str, object], *, callback_url: str | None, reference: str
) -> dict[str, object]:
    """The parameters to send. Unset ones are left out, because Vidu refuses fields that it does not expect.
    A `duration` of 0 counts as set."""
    sent = {name: value for name, value in params.items() if _is_sent(name, value)}
    sent["payload"] = reference
    if callback_url is not None:
        sent["callback_url"] = callback_url
    return sent


def _is_sent(name: str, value: object) -> bool:
    if value is None or name in _OWNED:
        return False
    # A seed of 0 means no seed, an empty list means no videos, and `off_peak` may be sent only as true.
    return not (name in ("seed", "videos", "off_peak") and not value)


def path_segment(task_id: str) -> str:
    """The id, encoded as one path segment. It comes from the upstream or from an unsigned callback, so it
    must not be able to change the path."""
    segment = quote(task_id, safe="", errors="replace")
    return segment if segment.strip(".") else segment.replace(".", "%2E")
