"""Serves the files of a result at an address that does not change.

Our copy, if there is one: from a folder by this process, from a bucket by a redirect to a signed URL. Without
a copy it redirects to the upstream, as long as the upstream's address is not known to be dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote

import structlog
from starlette.requests import Request
from starlette.responses import Response

from gateway.assets import DELETED, Asset, AssetState, Variant, addresses
from gateway.errors import (
    GatewayError,
    LinkRefused,
    MediaStoreUnavailable,
    NotFound,
    RateLimited,
    ResultGone,
    ResultNotReady,
    VariantUnavailable,
)
from gateway.jobs import Job
from gateway.media.links import content_signed
from gateway.tenants import Key
from gateway.web.api.owned import owned_job
from gateway.web.api.stored_content import StoredContent, one_read, without_bytes
from gateway.web.http.params import Param, Params, choice
from gateway.web.state import State, state_of

VARIANT: Final = choice("variant", "Which file of the result.", Variant, Variant.VIDEO)
DOWNLOAD: Final[Param[bool]] = Param(
    "download",
    "`1`: browsers save the file. Otherwise they show it.",
    {"type": "string", "enum": ["0", "1"], "default": "0"},
    lambda text: text == "1",
    default=False,
)
EXP: Final[Param[str]] = Param("exp", "Of a link.", {"type": "string"}, str, "")
KID: Final[Param[str]] = Param("kid", "Of a link.", {"type": "string"}, str, "")
SIG: Final[Param[str]] = Param("sig", "Of a link. It replaces the key.", {"type": "string"}, str, "")
#: How long a bucket serves a file without asking us again.
_BUCKET_SECONDS: Final = 3600
_MAX_EXP_DIGITS: Final = 11
#: A browser shows a file within these limits. The default policy would keep it from playing a video.
_POLICY: Final = (
    "default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
)
_UNKNOWN_TYPE: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for. `expires_at`: of the link, in seconds since the epoch; None: by a key."""

    job: Job
    variant: Variant
    download: bool
    expires_at: int | None = None

    @property
    def asset(self) -> Asset | None:
        return self.job.assets.get(self.variant)


async def serve(request: Request, key: Key | None, params: Params) -> Response:
    """The file, or a redirect to it. `key`: None if the request has a signature instead."""
    job, expires_at = (await owned_job(request, key.tenant), None) if key else await _linked(request, params)
    return await _served(request, _Wanted(job, params[VARIANT], params[DOWNLOAD], expires_at))


async def serve_file(request: Request, job: Job, variant: Variant) -> Response:
    """The file of this job, or a redirect to it, for the job's owner."""
    return await _served(request, _Wanted(job, variant, download=False))


async def _served(request: Request, wanted: _Wanted) -> Response:
    state = state_of(request)
    _check_offered(wanted.job, wanted.variant)
    asset = wanted.asset
    if asset is None or asset.state is not AssetState.STORED or not asset.key or not asset.size:
        return _elsewhere(state, wanted)
    try:
        return await _stored(request, state, wanted, asset)
    except (NotFound, MediaStoreUnavailable) as error:
        return _instead(state, wanted, error)


async def _linked(request: Request, params: Params) -> tuple[Job, int]:
    """The job of a link, and until when the link is valid. Its signature is checked before anything is
    read."""
    state, name = state_of(request), request.path_params["job_id"]
    exp, resources = params[EXP], state.resources
    if not (exp.isascii() and exp.isdigit() and len(exp) <= _MAX_EXP_DIGITS) or not content_signed(
        resources.keyring, name, params[VARIANT], int(exp), params[KID], params[SIG]
    ):
        raise LinkRefused("this link was altered or is not complete; ask whoever sent it for a new one")
    if int(exp) * 1000 <= resources.environment.now_ms():
        raise LinkRefused("this link has expired; ask whoever sent it for a new one")
    if wait := state.links.wait(name):
        raise RateLimited(f"links of this job are used too often; try again in {wait} s", wait, None)
    job = await resources.jobs.read(name)
    if job is None:
        raise NotFound("job", name, expires=True)
    return job, int(exp)


def check_fetchable(state: State, job: Job, variant: Variant) -> None:
    """ResultNotReady, VariantUnavailable or ResultGone if this file cannot be fetched now."""
    _check_offered(job, variant)
    wanted = _Wanted(job, variant, download=False)
    if wanted.asset is None or wanted.asset.state is not AssetState.STORED:
        _elsewhere(state, wanted)


def _check_offered(job: Job, variant: Variant) -> None:
    """ResultNotReady or VariantUnavailable if the job has no such file, now or at all."""
    offered = {*addresses(job.output), *job.assets}
    if variant in offered:
        return
    if not job.final:
        raise ResultNotReady(f"the job is {job.status}; get this again when it is completed")
    if not offered:
        raise VariantUnavailable(f"the job is {job.status} and has no files")
    names = ", ".join(name for name in Variant if name in offered)
    raise VariantUnavailable(f"this result has no {variant}; it has {names}")


async def _stored(request: Request, state: State, wanted: _Wanted, asset: Asset) -> Response:
    """Our copy. Raises NotFound, MediaStoreUnavailable."""
    media, now = state.resources.media, state.resources.environment.clock()
    assert asset.key is not None
    assert asset.size is not None
    if await media.size(asset.key) != asset.size:
        raise NotFound("whole file", asset.key)
    media_type, filename = asset.media_type or _UNKNOWN_TYPE, _filename(wanted, asset.key)
    headers = {
        "content-type": media_type,
        "content-disposition": f'{"attachment" if wanted.download else "inline"}; filename="{filename}"',
        "content-security-policy": _POLICY,
        "accept-ranges": "bytes",
        "etag": f'"{asset.sha256}"',
    }
    if answer := without_bytes(request, asset.size, headers):
        return answer
    seconds = _BUCKET_SECONDS
    if wanted.expires_at is not None:
        seconds = max(1, min(seconds, int(wanted.expires_at - now)))
    signed = await media.sign(
        asset.key, seconds, media_type=media_type, filename=filename if wanted.download else None
    )
    if signed is not None:
        state.content_outage.recovered()
        return _redirect(signed)

    async def otherwise(reason: GatewayError) -> Response:
        return _instead(state, wanted, reason)

    linked_job = None if wanted.expires_at is None else wanted.job.id
    places = one_read(state.held, wanted.job.tenant, linked_job)
    return StoredContent(request, asset.key, asset.size, headers, places, otherwise)


def _instead(state: State, wanted: _Wanted, reason: GatewayError) -> Response:
    """Without the copy that there should be: the upstream's address. `reason`: why there is none."""
    if away := isinstance(reason, MediaStoreUnavailable):
        state.content_outage.failed(str(reason))
    else:
        state.content_outage.recovered()
        structlog.get_logger().error(
            "content_missing", job=wanted.job.id, variant=wanted.variant, reason=str(reason)
        )
    try:
        return _elsewhere(state, wanted)
    except ResultGone:
        if away:  # it will be back
            raise reason from None
        raise


def _elsewhere(state: State, wanted: _Wanted) -> Response:
    """A redirect to the upstream's address; ResultGone if that is dead."""
    asset, now = wanted.asset, state.resources.environment.now_ms()
    address = addresses(wanted.job.output).get(wanted.variant)
    if asset is not None:
        if asset.reason == DELETED:
            raise ResultGone("the owner of the job deleted this file")
        address = asset.url or address
        if address is None and asset.state is AssetState.PENDING:
            raise ResultNotReady(f"the {wanted.variant} is not made yet; get it again later")
        if address is None or (asset.dies_at is not None and asset.dies_at <= now):
            raise ResultGone(_fate(asset))
    if address is None or not address.startswith(("https://", "http://")):
        raise ResultGone("the upstream's address of this file cannot be opened, and there is no copy of it")
    return _redirect(address)


def _fate(asset: Asset) -> str:
    """What became of a file whose address at the upstream is dead."""
    match asset.state:
        case AssetState.EXPIRED:
            return "our copy of this file was deleted after its time; it cannot be fetched any more"
        case AssetState.FAILED:
            return f"this file could not be copied ({asset.reason}), and the upstream's address has expired"
        case _:
            return "the upstream's address of this file has expired, and there is no copy of it"


def _redirect(url: str) -> Response:
    return Response(status_code=302, headers={"location": quote(url, safe=":/%#?=@[]!$&'()*+,;")})


def _filename(wanted: _Wanted, key: str) -> str:
    """Such as job_01....mp4 and job_01...-cover.jpg."""
    variant = "" if wanted.variant is Variant.VIDEO else f"-{wanted.variant}"
    return f"{wanted.job.id}{variant}{PurePosixPath(key).suffix}"
