"""Deletes our copies of a result when its owner asks for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.assets import Asset, AssetState
from gateway.jobs import Job
from gateway.store import arguments, keys
from gateway.store.script_runner import Scripts

#: `reason` of a copy that its owner deleted. Its address does not lead to the upstream either.
DELETED: Final = "deleted_by_owner"


class AssetDeletion:
    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def record(self, job: Job) -> bool:
        """Records that all files of the job are deleted. `job`: as it was read before that. False if an
        asset has changed since: read it again. Raises StoreUnavailable; can be repeated."""
        order = {
            "name": job.id,
            "assets": [
                {
                    "variant": variant,
                    "state": asset.state,
                    "key": asset.key or "",
                    "text": deleted(asset).dump().decode(),
                }
                for variant, asset in job.assets.items()
            ],
        }
        return bool(await self._scripts.run("delete_assets", [keys.job(job.id)], [arguments.dump(order)]))


def deleted(asset: Asset) -> Asset:
    """The asset after its owner deleted it. It keeps nothing that leads to the file."""
    return replace(
        asset, state=AssetState.EXPIRED, url=None, key=None, size=None, sha256=None, reason=DELETED
    )
