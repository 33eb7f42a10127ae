"""The operations on waiting lines, the history and what was given up, in the API's document."""

from __future__ import annotations

from gateway.dispatch import Role
from gateway.tenants import Scope
from gateway.web.openapi.parts import Document, answer, change, operation, query
from gateway.web.ops.queues import DEAD_MAX, LANES_MAX, MINUTES_MAX, SKIP_MAX
from gateway.web.schemas import queues as queue_schemas


def queues() -> Document:
    return {
        "/ops/api/lanes": {"get": _list_lanes()},
        "/ops/api/history": {"get": _show_history()},
        "/ops/api/dead-letters": {"get": _list_dead()},
        "/ops/api/dead-letters/redeliver": {"post": _redeliver()},
    }


def _list_lanes() -> Document:
    role = query("role", "Whose waiting lines.", {"enum": list(Role), "default": Role.SUBMIT})
    limit = {"type": "integer", "minimum": 1, "maximum": LANES_MAX, "default": LANES_MAX}
    return operation(
        "listLanes",
        "The waiting lines in which somebody waits the longest, and parked ones",
        Scope.OPS_READ,
        {"200": answer("Those first in which somebody waits the longest.", queue_schemas.LaneList)},
        400,
        parameters=[role, query("limit", "At most so many.", limit)],
    )


def _show_history() -> Document:
    minutes = {"type": "integer", "minimum": 1, "maximum": MINUTES_MAX, "default": 60}
    return operation(
        "showHistory",
        "How the service did lately",
        Scope.OPS_READ,
        {"200": answer("Samples, the oldest first.", queue_schemas.History)},
        400,
        parameters=[query("minutes", "Of the last so many minutes.", minutes)],
    )


def _list_dead() -> Document:
    skip = {"type": "integer", "minimum": 0, "maximum": SKIP_MAX, "default": 0}
    limit = {"type": "integer", "minimum": 1, "maximum": DEAD_MAX, "default": 50}
    return operation(
        "listDeadLetters",
        "Deliveries of all tenants that were given up",
        Scope.OPS_READ,
        {"200": answer("The newest first, without their logs.", queue_schemas.DeadLetters)},
        400,
        parameters=[
            query("skip", "Not the newest so many.", skip),
            query("limit", "At most so many.", limit),
        ],
    )


def _redeliver() -> Document:
    answers = {"202": answer("What became of them.", queue_schemas.Redelivery)}
    return change(
        "redeliverDeadLetters",
        "Send the newest of what was given up again",
        answers,
        queue_schemas.RedeliverDead,
    )
