"""Checks the uploads that a job names: whose they are, of which kind, how long, and whether the upstream can
get them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.errors import Notice, Problem
from gateway.generation import GenerationRequest, data_uris, inspection, upstream_params
from gateway.generation.media import UploadUse, unknown_upload
from gateway.generation.upstream_body import UPSTREAM_BODY_BYTES, bytes_of
from gateway.uploads import NoUploads, Upload, Uploads


@dataclass(frozen=True, slots=True)
class Used:
    """`uploads`: those that exist, by their places such as `images[2]`, of any tenant if there are
    `problems`."""

    uploads: Mapping[str, Upload]
    problems: Sequence[Problem]
    notices: Sequence[Notice]


@dataclass(frozen=True, slots=True)
class UsesOfUploads:
    """`fetchable`: whether the upstream can fetch uploads from this gateway. If not, they are sent inside the
    body."""

    known: Uploads = NoUploads()  # noqa: RUF009  # it has no state
    fetchable: bool = False

    async def find(self, request: GenerationRequest, tenant: str, now_ms: int) -> Used:
        """The uploads that a request of `tenant` names, and all that is wrong with them. Raises
        StoreUnavailable."""
        uses = request.uploads
        found = await self.known.read({use.upload_id for use in uses})
        uploads = {use.param: found[use.upload_id] for use in uses if use.upload_id in found}
        problems = [
            problem for use in uses if (problem := _fault(use, uploads.get(use.param), tenant, now_ms))
        ]
        if not problems and not self.fetchable:
            problems = _too_large_inside(request, uploads)
        notices = [
            inspection.not_inspected(param, "video")
            for param, upload in uploads.items()
            if upload.kind == "video" and upload.seconds is None
        ]
        return Used(uploads, problems, notices)


def _fault(use: UploadUse, upload: Upload | None, tenant: str, now_ms: int) -> Problem | None:
    """Another tenant's upload is refused like an unknown one."""
    if upload is None or upload.tenant != tenant or not upload.usable(now_ms):
        return unknown_upload(use.param)
    if upload.kind != use.kind:
        return Problem(use.param, "upload_misplaced", f"is {upload.media_type}; put it into {upload.kind}s")
    if (upload.seconds or 0) > use.max_seconds + inspection.TOLERANCE_SECONDS and use.kind == "video":
        return Problem(use.param, *inspection.too_long(upload.seconds or 0, use.max_seconds))
    return None


def _too_large_inside(request: GenerationRequest, uploads: Mapping[str, Upload]) -> list[Problem]:
    size = bytes_of(upstream_params(request))
    size += sum(data_uris.written_bytes(one.extension, one.size) for one in uploads.values())
    if size <= UPSTREAM_BODY_BYTES:
        return []
    largest = max(uploads, key=lambda param: uploads[param].size)
    message = (
        "cannot reach the upstream: this gateway has no public URL, so uploads are sent inside the body, "
        f"which would have {size} bytes, and {UPSTREAM_BODY_BYTES} are allowed; use smaller files or public "
        "URLs, or ask the operator to set GATEWAY_PUBLIC_URL"
    )
    return [Problem(largest, "upload_unreachable", message)]
