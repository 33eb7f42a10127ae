"""The operations of every door but our own, by the door's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.doors.openai.words import OPENAI
from gateway.doors.vidu import VIDU
from gateway.doors.vtrix import VTRIX
from gateway.web.doors import openai_routes, vidu, vtrix
from gateway.web.operation import Operation

OF_DOORS: Final[Mapping[str, tuple[Operation, ...]]] = {
    VTRIX.name: vtrix.OPERATIONS,
    VIDU.name: vidu.OPERATIONS,
    OPENAI.name: openai_routes.OPERATIONS,
}
