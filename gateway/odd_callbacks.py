"""Callbacks that should not come as long as Redis keeps what it acknowledged and tasks are named right."""

from __future__ import annotations

from typing import Final

import structlog

from gateway.store.base import Callback, Effect

_STRANGE: Final = (Effect.AHEAD, Effect.ORPHAN, Effect.CROSSED, Effect.EARLIER)


def warn_of(callback: Callback, effect: Effect) -> None:
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
