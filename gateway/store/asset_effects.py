"""The effect of a transition on the assets of a job."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gateway.assets import Asset, Variant
from gateway.dispatch import Role
from gateway.jobs import mirror_ticket
from gateway.store.effect_base import Effect, Subject, given


@dataclass(frozen=True, slots=True)
class CopyAssets(Effect):
    """Writes the assets of the result, and enters a ticket for each that has an address. A cover without one
    is made from the copy of the video, and enters when that is stored."""

    name: ClassVar = "copy_assets"
    assets: Mapping[Variant, Asset]

    def document(self, of: Subject) -> list[dict[str, Any]]:
        return [
            given(
                variant=variant,
                asset=asset.dump().decode(),
                dies_at=asset.dies_at,
                ticket=str(mirror_ticket(of.known_job, variant)) if asset.url else None,
            )
            for variant, asset in self.assets.items()
        ]

    def roles(self, of: Subject) -> Collection[Role]:
        return (Role.MIRROR,)
