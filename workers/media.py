"""What the upstream gets in place of the files of a job: data URIs, or addresses where it fetches uploads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from gateway import generation
from gateway.environment import Environment
from gateway.generation import data_uris
from gateway.generation.upstream_body import UPSTREAM_BODY_BYTES, bytes_of
from gateway.jobs import Job
from gateway.media.inline import InlineFiles
from gateway.media.links import MediaLinks
from gateway.settings import Settings
from gateway.uploads import key_of, read_reference

#: So much longer than its task may take an address works, because clocks differ.
_SPARE_SECONDS: Final = 3600


class UploadUnreachable(Exception):
    """The upstream can neither fetch an upload from us nor get it inside the body."""


@dataclass(frozen=True, slots=True)
class JobMedia:
    inline_files: InlineFiles
    links: MediaLinks
    environment: Environment
    settings: Settings

    async def attached(self, job: Job) -> dict[str, object]:
        """The parameters that the upstream gets. Raises NotFound if a file is lost, MediaStoreUnavailable,
        UploadUnreachable."""
        room = UPSTREAM_BODY_BYTES - bytes_of(job.params)
        until = self._until(job)

        async def upload(reference: str) -> str:
            nonlocal room
            found = read_reference(reference)
            assert found is not None, "the intake wrote it"
            upload_id, extension = found
            key = key_of(upload_id, extension)
            size = await self.inline_files.store.size(key)  # before money is spent
            if self.settings.public_url:
                return self.links.address(self.settings.public_url, upload_id, until)
            room -= data_uris.written_bytes(extension, size)
            if room < 0:
                raise UploadUnreachable
            return data_uris.write(extension, await self.inline_files.store.read(key))

        return await generation.attach_media(job.params, self.inline_files.read, upload)

    def _until(self, job: Job) -> int:
        """Seconds since the epoch: until when the upstream may fetch the files."""
        now = self.environment.clock()
        working = now + self.settings.job_deadline(job.off_peak)
        return math.ceil(max(working, (job.end_by or 0) / 1000)) + _SPARE_SECONDS
