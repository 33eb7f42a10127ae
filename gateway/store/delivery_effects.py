"""The effects that only an attempt of a delivery has."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from gateway.dispatch import Role
from gateway.store.effect_base import Effect, Subject, given


@dataclass(frozen=True, slots=True)
class WriteLog(Effect):
    """Writes a delivery's log, JSON; only its `newest` entry if the tenant would exceed `bytes_max`.
    `newest` is None if that is the same."""

    name: ClassVar = "write_log"
    log: str
    newest: str | None
    bytes_max: int | None

    def document(self, of: Subject) -> dict[str, Any]:
        return given(log=self.log, newest=self.newest, bytes_max=self.bytes_max)


@dataclass(frozen=True, slots=True)
class JudgeLane(Effect):
    """Counts the attempt for the lane's circuit breaker. `ok`: whether it succeeded; `error`: why not, in a
    few words; `url`: where it went, without its path."""

    name: ClassVar = "judge_lane"
    lane: str
    endpoint_id: str | None
    tenant: str
    ok: bool
    error: str = ""
    url: str = ""

    def document(self, of: Subject) -> dict[str, Any]:
        return {
            "lane": self.lane,
            "endpoint": self.endpoint_id or "",
            "tenant": self.tenant,
            "ok": self.ok,
            "error": self.error,
            "url": self.url,
        }

    def roles(self, of: Subject) -> Collection[Role]:
        return (Role.DELIVER,)
