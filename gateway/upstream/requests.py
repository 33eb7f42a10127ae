"""What every dialect does with a job's parameters and a task's id before they go out."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

#: Never taken from the job's parameters: the gateway owns them.
_OWNED = frozenset({"model", "payload", "callback_url"})


def sent_params(
    params: Mapping[str, object], *, callback_url: str | None, reference: str
) -> dict[str, object]:
    """The parameters as they go out. Nothing unset does, for Vidu refuses fields it does not want;
    `duration` 0 is set."""
    sent = {name: value for name, value in params.items() if _is_sent(name, value)}
    sent["payload"] = reference
    if callback_url is not None:
        sent["callback_url"] = callback_url
    return sent


def _is_sent(name: str, value: object) -> bool:
    if value is None or name in _OWNED:
        return False
    # A seed of 0 is no seed, no videos is none, and off-peak may be named only to ask for it.
    return not (name in ("seed", "videos", "off_peak") and not value)


def path_segment(task_id: str) -> str:
    """The id is the upstream's, or a callback's claim of it: it cannot lead to another path."""
    segment = quote(task_id, safe="", errors="replace")
    return segment if segment.strip(".") else segment.replace(".", "%2E")
