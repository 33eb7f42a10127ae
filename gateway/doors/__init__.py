"""The doors: other APIs in front of the one intake. A door translates and decides nothing.

A job made through one door has the same id, states and limits as any other, and every door shows it. `jobs`
is our own API, `/v1/jobs`, which needs no translation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.doors import vidu
from gateway.doors.base import Door
from gateway.doors.openai.words import OPENAI
from gateway.doors.vidu import VIDU
from gateway.doors.vtrix import VTRIX
from gateway.events import EventType

#: Our own API.
JOBS: Final = "jobs"
#: All others by name. Settings may close some, but a job that came through one of them still reports in its
#: words.
DOORS: Final[Mapping[str, Door]] = {door.name: door for door in (VTRIX, VIDU, OPENAI)}
#: Every door that can be opened.
NAMES: Final = (JOBS, *DOORS)
#: What a job's own callback URL hears, unless its client says it. Through other doors: its end.
HEARD: Final[Mapping[str, Sequence[EventType]]] = {VIDU.name: vidu.HEARD}
