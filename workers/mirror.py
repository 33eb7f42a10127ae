"""Copies one file of a result into the media store, before the upstream's address dies.

The bytes go to a temporary file and are checked on the way; then the file becomes visible whole, and one
script records it. A failed attempt is repeated until the address is taken to be dead. A job never fails
because of its copies.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import structlog

from gateway import assets
from gateway.assets import Asset, AssetState, Reason, Variant
from gateway.delivery.download import Downloaded, Downloader, DownloadFailed
from gateway.dispatch import Ticket
from gateway.environment import Environment
from gateway.errors import DiskFull, MediaStoreUnavailable, NotFound, StoreUnavailable, Unavailable
from gateway.generation.file_types import EXTENSIONS, HEAD_BYTES, MIME_OF_EXTENSION, name_of, sniff
from gateway.generation.first_frame import NoFrame, first_frame
from gateway.generation.iso_boxes import is_whole
from gateway.jobs import Job
from gateway.media.base import MediaStore
from gateway.settings import Settings
from gateway.store.assets import Recorded, RedisAssets
from gateway.store.base import JobStore
from gateway.telemetry.tracing import NO_TRACER, Tracer
from gateway.upstream.base import Found, Inconclusive, QueryOutcome, Upstream
from workers.leases import renewed
from workers.store_retry import persist
from workers.task_status import is_of

_SCHEDULE_SECONDS: Final = (5.0, 30.0, 120.0, 600.0)  # the last one is repeated
_JITTER: Final = 0.1
#: How many attempts may find the address gone, and no better one: a new one may not be everywhere yet.
_GONE_TRIES: Final = 3
#: Another attempt would end in the same way.
_FINAL: Final = frozenset(
    (Reason.TOO_LARGE, Reason.ADDRESS_REFUSED, Reason.REDIRECTS, Reason.NO_VIDEO, Reason.NO_FRAME)
)


class _Stale(Exception):
    """Another worker has the ticket."""


@dataclass(frozen=True, slots=True)
class Mirrorer:
    """`upstreams`: by the names of their accounts."""

    jobs: JobStore
    assets: RedisAssets
    media: MediaStore
    downloader: Downloader
    upstreams: Mapping[str, Upstream]
    environment: Environment
    settings: Settings
    tracer: Tracer = NO_TRACER

    async def copy(self, ticket: Ticket) -> None:
        """`ticket.name`: `<job>:<variant>`."""
        job = await self.assets.begin(ticket)
        variant = Variant(ticket.name.partition(":")[2])
        asset = job.assets.get(variant) if job else None
        if job is None or asset is None or asset.state is not AssetState.PENDING:
            await self.jobs.drop(ticket)
            return
        about = {"job": job.id, "tenant": job.tenant, "variant": variant}
        async with renewed(self.jobs, ticket, self.settings.lease_seconds):
            with self.tracer.span("mirror", job.trace, about):
                await _Attempt(self, ticket, job, variant, asset).make()


@dataclass(slots=True)
class _Attempt:
    """One attempt to copy one file. `asset`: as it is known so far."""

    by: Mirrorer
    ticket: Ticket
    job: Job
    variant: Variant
    asset: Asset

    async def make(self) -> None:
        self.asset = replace(self.asset, tries=self.asset.tries + 1, reason=None)
        path: Path | None = None
        try:
            path = self.by.media.scratch / f"copy-{self.by.environment.entropy(16).hex()}"
            await self._check_room(0)
            url = self.asset.url
            await self._store(await (self._download(url, path) if url else self._frame(path)), path)
        except DownloadFailed as failed:
            await self._failed(failed.reason, failed.detail)
        except StoreUnavailable:
            raise
        except (Unavailable, OSError) as error:
            await self._failed(Reason.MEDIA_AWAY, str(error))
        except _Stale:
            self._log.warning("copy_stale")
        finally:
            if path is not None:
                await asyncio.to_thread(_remove, path)

    async def _check_room(self, more: int) -> None:
        """`more`: bytes of the file that are still to come, as far as is known."""
        space = await self.by.media.space()
        if space is not None and space.free - more < space.needed:
            raise DiskFull(space.free, space.needed, inline=False)
        if not await self.by.assets.has_room(self.job.tenant, more):
            raise DownloadFailed(Reason.TENANT_FULL)

    async def _download(self, url: str, path: Path) -> Downloaded:
        try:
            return await self._fetch(url, path)
        except DownloadFailed as failed:
            if failed.reason is not Reason.GONE:
                raise
            fresh = await self._fresh_address()
            if fresh is None or fresh == url:
                raise
        self._log.info("address_renewed")
        life_ms = int(self.by.settings.result_life_seconds * 1000)
        self.asset = replace(self.asset, url=fresh, dies_at=self.by.environment.now_ms() + life_ms)
        return await self._fetch(fresh, path)

    async def _fetch(self, url: str, path: Path) -> Downloaded:
        await self.by.environment.reach("mirror_get.before")
        got = await self.by.downloader.fetch(
            url, path, check_head=self._check_head, check_room=self._check_room
        )
        await self.by.environment.reach("mirror_get.after")
        if sniff(got.head) in ("mp4", "mov") and not await asyncio.to_thread(_is_whole, path):
            raise DownloadFailed(Reason.WRONG_LENGTH, "it ends in the middle of a box")
        return got

    def _check_head(self, head: bytes) -> None:
        picture = self.variant is Variant.COVER
        if sniff(head) not in EXTENSIONS["image" if picture else "video"]:
            wrong = Reason.NOT_A_PICTURE if picture else Reason.NOT_A_VIDEO
            raise DownloadFailed(wrong, f"it is {name_of(head) or 'a file of an unknown type'}")

    async def _fresh_address(self) -> str | None:
        """The address that the job's task names now; None if it names none."""
        outcome = await self._query()
        if isinstance(outcome, Inconclusive):  # it says nothing about the address: ask again later
            raise DownloadFailed(Reason.UNREACHABLE, f"the address is gone, and the task: {outcome.reason}")
        if not isinstance(outcome, Found) or not is_of(self.job, outcome.snapshot):
            return None
        return assets.addresses(outcome.snapshot.output).get(self.variant)

    async def _query(self) -> QueryOutcome:
        task = str(self.job.late["task_id"] if self.job.late else self.job.task_id)
        upstream = self.by.upstreams.get(self.job.account_of(task))
        return await upstream.query(task) if upstream else Inconclusive("its account is not in the settings")

    async def _frame(self, path: Path) -> Downloaded:
        """A cover from the copy of the video."""
        video = self.job.assets.get(Variant.VIDEO)
        if video is None or video.state is not AssetState.STORED or video.key is None:
            raise DownloadFailed(Reason.NO_VIDEO)
        clip = path.with_suffix(".clip")
        try:
            await self._read_to(video.key, clip)
            picture = await first_frame(clip, video.key.rpartition(".")[2])
        except (NoFrame, NotFound) as error:
            raise DownloadFailed(Reason.NO_FRAME, str(error)) from error
        finally:
            await asyncio.to_thread(_remove, clip)
        await asyncio.to_thread(path.write_bytes, picture)
        return Downloaded(len(picture), hashlib.sha256(picture).hexdigest(), picture[:HEAD_BYTES])

    async def _read_to(self, key: str, path: Path) -> None:
        file = await asyncio.to_thread(path.open, "wb")
        with file:
            async for piece in self.by.media.stream(key):
                await asyncio.to_thread(file.write, piece)

    async def _store(self, got: Downloaded, path: Path) -> None:
        extension = str(sniff(got.head))
        # A key of its own: whatever another attempt does, late or at once, it is to another file.
        folder, attempt = f"{assets.FOLDER}/{self.job.id}", self.by.environment.entropy(8).hex()
        key = f"{folder}/{self.variant}-{attempt}.{extension}"
        # a worker that lost its lease must not replace what another has stored
        if not await persist(lambda: self.by.jobs.renew(self.ticket), self.by.environment):
            raise _Stale
        await self.by.environment.reach("mirror_put.before")
        await self.by.media.put_file(key, path)
        await self.by.environment.reach("mirror_put.after")
        kept_ms = int(self.by.settings.result_retention_seconds * 1000)
        stored = replace(
            self.asset,
            state=AssetState.STORED,
            key=key,
            size=got.size,
            sha256=got.sha256,
            media_type=MIME_OF_EXTENSION[extension],
            expires_at=self.by.environment.now_ms() + kept_ms,
        )
        recorded = await self._record(stored, "stored", enters=self._waiting())
        if recorded is Recorded.RECORDED:
            await self._drop_leftovers(folder, key)
        elif not await self._is_recorded(key):
            await self.by.media.drop(key)
        if recorded is Recorded.FULL:
            raise DownloadFailed(Reason.TENANT_FULL)
        self._log.info("copied", record=recorded, bytes=got.size, tries=stored.tries)

    async def _is_recorded(self, key: str) -> bool:
        """Whether the job has this copy: a record whose answer was lost is stale when it is repeated."""
        job = await persist(lambda: self.by.jobs.read(self.job.id), self.by.environment)
        asset = job.assets.get(self.variant) if job else None
        return asset is not None and asset.key == key

    async def _drop_leftovers(self, folder: str, key: str) -> None:
        """Deletes what killed attempts left of this file. Nobody else makes one: its ticket is finished."""
        with contextlib.suppress(MediaStoreUnavailable):  # they go with the job
            for entry in await self.by.media.entries(folder, f"{self.variant}-"):
                if f"{folder}/{entry.name}" != key:
                    await self.by.media.drop(f"{folder}/{entry.name}")

    def _waiting(self) -> list[Variant]:
        """What can be made once this file is stored: a cover without an address of its own."""
        if self.variant is not Variant.VIDEO:
            return []
        return [
            variant
            for variant, asset in self.job.assets.items()
            if asset.state is AssetState.PENDING and asset.url is None
        ]

    async def _failed(self, reason: Reason, detail: str) -> None:
        """Records a failed attempt: there is another one, or the file is given up."""
        if reason is Reason.GONE:
            self.asset = replace(self.asset, gone=(self.asset.gone or 0) + 1)
        retry_in_ms = self._retry_in_ms(reason)
        failed = replace(self.asset, reason=reason)
        if retry_in_ms is not None:
            recorded = await self._record(failed, reason, retry_in_ms=retry_in_ms)
        else:
            failed = replace(failed, state=AssetState.FAILED)
            lost = Asset(AssetState.FAILED, reason=Reason.NO_VIDEO)
            recorded = await self._record(failed, reason, gives_up=dict.fromkeys(self._waiting(), lost))
        again = None if retry_in_ms is None else retry_in_ms / 1000
        self._log.warning(
            "copy_failed", reason=reason, detail=detail, record=recorded, again_in_seconds=again
        )

    def _retry_in_ms(self, reason: Reason) -> int | None:
        """None: there is no further attempt. The last one is made when the address is taken to be dead. What
        is no fault of the address is tried until the job is removed."""
        if reason in _FINAL or (self.asset.gone or 0) >= _GONE_TRIES:
            return None
        wait = _SCHEDULE_SECONDS[min(self.asset.tries, len(_SCHEDULE_SECONDS)) - 1]
        wait_ms = int(wait * 1000 * (1 + _JITTER * self.by.environment.random()))
        if reason is Reason.MEDIA_AWAY or self.asset.dies_at is None:
            return wait_ms
        left_ms = self.asset.dies_at - self.by.environment.now_ms()
        return min(wait_ms, left_ms) if left_ms > 0 else None

    async def _record(self, asset: Asset, outcome: str, **more: Any) -> Recorded:
        tally = [f"copies|{outcome}"]
        if asset.state is AssetState.FAILED:
            tally.append(f"copies_given_up|{outcome}")
        return await persist(
            lambda: self.by.assets.record(self.ticket, self.job, self.variant, asset, tally=tally, **more),
            self.by.environment,
        )

    @property
    def _log(self) -> Any:
        return structlog.get_logger().bind(job=self.job.id, tenant=self.job.tenant, variant=self.variant)


def _is_whole(path: Path) -> bool:
    with path.open("rb") as file:
        return is_whole(file)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # a sweep removes what is left in this folder
        path.unlink(missing_ok=True)
