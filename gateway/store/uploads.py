"""Uploads on Redis: their records. Every call may raise StoreUnavailable, and can be repeated."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis

from gateway.errors import GatewayError, LimitReached
from gateway.store import arguments, keys
from gateway.store.client import store_errors
from gateway.store.script_runner import Scripts
from gateway.uploads import Upload, UploadLimits

_FULL_RETRY_SECONDS: Final = 3600


class Stored(NamedTuple):
    """`created`: it is new; if not, the tenant had uploaded the same content before."""

    upload: Upload
    created: bool


class RedisUploads:
    """The `Uploads` on Redis. The scripts use Redis' own clock."""

    def __init__(self, redis: Redis, scripts: Scripts, limits: UploadLimits) -> None:
        self._redis = redis
        self._scripts = scripts
        self._limits = limits

    async def read(self, upload_ids: Collection[str]) -> dict[str, Upload]:
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for upload_id in upload_ids:
                    pipe.hgetall(keys.upload(upload_id))
                found: list[dict[str, str]] = await pipe.execute()
        return {
            upload_id: _upload(upload_id, fields)
            for upload_id, fields in zip(upload_ids, found, strict=True)
            if fields
        }

    async def page(self, tenant: str, after: str | None, limit: int) -> tuple[list[Upload], bool]:
        """The tenant's uploads that new jobs may use, newest first; and whether older ones follow."""
        top = f"({after}" if after else "+"
        with store_errors():
            names: list[str] = await self._redis.zrevrangebylex(
                keys.tenant_uploads(tenant), top, "-", 0, limit + 1
            )
        found = await self.read(names[:limit])
        return list(found.values()), len(names) > limit

    async def known(self, tenant: str, sha256: str, size: int) -> Upload | None:
        """The tenant's upload with this content, whose life starts anew. Raises LimitReached if there is none
        and the tenant may not have so many bytes more."""
        outcome, *found = await self._add(tenant, sha256, size, {"id": ""})
        if outcome == "known":
            return _upload(found[0], arguments.pairs(found[1]))
        if outcome == "would_fit":
            return None
        raise self._refusal(outcome, found)

    async def add(self, upload: Upload) -> Stored:
        """Stores the record, after its file. If the tenant has the same content already, that upload is
        returned, and the file of this one is not needed. Raises LimitReached."""
        order = {"id": upload.id, "fields": _fields(upload)}
        outcome, *found = await self._add(upload.tenant, upload.sha256, upload.size, order)
        if outcome not in ("known", "added"):
            raise self._refusal(outcome, found)
        return Stored(_upload(found[0], arguments.pairs(found[1])), found[0] == upload.id)

    async def _add(self, tenant: str, sha256: str, size: int, order: dict[str, Any]) -> list[Any]:
        limits = self._limits
        order |= {
            "tenant": tenant,
            "sha256": sha256,
            "bytes": size,
            "life_ms": limits.life_ms,
            "bytes_max": limits.bytes_max,
            "count_max": limits.count_max,
        }
        answer: list[Any] = await self._scripts.run(
            "add_upload", [keys.upload(order["id"])], [arguments.dump(order)]
        )
        return answer

    def _refusal(self, outcome: str, found: list[Any]) -> GatewayError:
        way_out = "delete some that no job needs any more, or send this again when some have expired"
        if outcome == "count":
            return LimitReached(
                f"this tenant has {found[0]} uploads, and {self._limits.count_max} are allowed; {way_out}",
                _FULL_RETRY_SECONDS,
                limit="stored_uploads",
            )
        return LimitReached(
            f"with this file, the uploads of this tenant would take {found[0]} of "
            f"{self._limits.bytes_max} bytes; {way_out}",
            _FULL_RETRY_SECONDS,
            limit="uploaded_bytes",
        )

    async def delete(self, upload_id: str, tenant: str) -> str | None:
        """No new job may use it. Returns `IN_USE` if jobs still hold it, else the extension of its file,
        which the caller removes; None if this tenant has no such upload."""
        return await self._retire(upload_id, tenant)

    async def expire(self, upload_id: str) -> str | None:
        """The same, if its life is over or it was deleted."""
        return await self._retire(upload_id, "")

    async def _retire(self, upload_id: str, tenant: str) -> str | None:
        found = str(await self._scripts.run("retire_upload", [keys.upload(upload_id)], [upload_id, tenant]))
        return None if found == "absent" else found

    async def forget(self, upload_id: str) -> bool:
        """Removes the record of a retired upload, whose file is gone."""
        return bool(await self._scripts.run("forget_upload", [keys.upload(upload_id)], [upload_id]))

    async def expired(self, limit: int) -> list[str]:
        """Ids of uploads that `expire` must look at, earliest first."""
        with store_errors():
            seconds, microseconds = await self._redis.time()
            now = seconds * 1000 + microseconds // 1000
            found: list[str] = await self._redis.zrangebyscore(keys.UPLOAD_EXPIRY, "-inf", now, 0, limit)
        return found


def _fields(upload: Upload) -> dict[str, str]:
    values = {
        "tenant": upload.tenant,
        "sha256": upload.sha256,
        "bytes": upload.size,
        "extension": upload.extension,
        "created_at": upload.created_at,
        "width": upload.width,
        "height": upload.height,
        "seconds": upload.seconds,
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def _upload(upload_id: str, fields: Mapping[str, str]) -> Upload:
    found = Upload(
        id=upload_id,
        tenant=fields["tenant"],
        sha256=fields["sha256"],
        size=int(fields["bytes"]),
        extension=fields["extension"],
        created_at=int(fields["created_at"]),
        width=_int(fields.get("width")),
        height=_int(fields.get("height")),
        seconds=float(fields["seconds"]) if "seconds" in fields else None,
    )
    return replace(
        found,
        expires_at=_int(fields.get("expires_at")) or 0,
        pins=_int(fields.get("pins")) or 0,
        retired_at=_int(fields.get("retired")),
    )


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)
