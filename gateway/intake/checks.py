"""Checks the body of a request, without the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway import generation
from gateway.errors import BodyTooLarge, Notice, Problem
from gateway.generation import GenerationRequest, Limits
from gateway.generation.fingerprint import fingerprint_of
from gateway.generation.media import InlineMedia
from gateway.generation.upstream_body import ENVELOPE_BYTES, UPSTREAM_BODY_BYTES, bytes_of
from gateway.intake.job_options import JobOptions
from gateway.uploads import Upload

#: Turns a body of another API into a document of ours.
Read = Callable[[bytes], generation.Incoming]


@dataclass(frozen=True, slots=True)
class Checked:
    """A request that passed all checks. `media`: the files inside it. `fingerprint`: None unless it was asked
    for. `uploads`: those that it names, by their places such as `images[2]`. `refusal`: what is wrong with
    uploads; a new job is refused for it, but a repeated request still gets its job."""

    request: GenerationRequest
    media: Sequence[InlineMedia]
    notices: Sequence[Notice]
    fingerprint: str | None = None
    uploads: Mapping[str, Upload] = field(default_factory=dict)
    refusal: Sequence[Problem] = ()

    @property
    def references(self) -> dict[str, str]:
        """What stands for each upload in the stored parameters, by its place."""
        return {param: upload.reference for param, upload in self.uploads.items()}


def check(raw: bytes, limits: Limits, keyed: JobOptions | None, read: Read = generation.from_json) -> Checked:
    request, notices = _parse(raw, limits, read)
    fingerprint = None if keyed is None else fingerprint_of(request, keyed.meaning)
    return Checked(request, request.inline_media, notices, fingerprint)


def _parse(raw: bytes, limits: Limits, read: Read) -> tuple[GenerationRequest, Sequence[Notice]]:
    request, notices = generation.parse(raw, limits, read)
    if len(raw) > (UPSTREAM_BODY_BYTES - ENVELOPE_BYTES) // 4 * 3:  # files may not be in Base64 yet
        _check_upstream_size(request)
    return request, notices


def _check_upstream_size(request: GenerationRequest) -> None:
    size = bytes_of(generation.upstream_params(request))
    if size > UPSTREAM_BODY_BYTES:
        message = f"the upstream accepts at most {UPSTREAM_BODY_BYTES} bytes, and this body would have {size}"
        raise BodyTooLarge([Problem("", "body_too_large", f"{message}; send large media as URLs instead")])
