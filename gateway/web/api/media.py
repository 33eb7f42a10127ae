"""Serves uploads to the upstream: no key, but a signed address that expires. The address is a credential."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import LimitReached, MediaStoreUnavailable, NotFound
from gateway.local.shared_memory import Held
from gateway.media.links import read_media_token
from gateway.uploads import Upload
from gateway.web.api.stored_content import StoredContent, without_bytes
from gateway.web.state import State, state_of

#: Downloads at once: of one upload, which many jobs may name, and of all uploads of a tenant.
AT_ONCE: Final = 100
OF_TENANT: Final = 200
_RETRY_SECONDS: Final = 5
#: How long an address in a bucket works: whoever follows the redirect does so at once.
_SIGNED_SECONDS: Final = 900


async def fetch(request: Request) -> Response:
    """The file, or a part of it. Whatever is wrong with the address, the answer is the same 404."""
    state = state_of(request)
    upload, seconds = await _upload(state, request.path_params["token"])
    await _check_file(state, upload)
    headers = {
        "etag": f'"{upload.sha256}"',
        "accept-ranges": "bytes",
        "content-disposition": f'attachment; filename="{upload.key.rpartition("/")[2]}"',
        "content-type": upload.media_type,
    }
    if answer := without_bytes(request, upload.size, headers):
        return answer
    media = state.resources.media
    seconds = min(seconds, _SIGNED_SECONDS)
    address = await media.sign(upload.key, seconds, media_type=upload.media_type, filename=None)
    if address is not None:
        return Response(status_code=302, headers={"location": address, "etag": headers["etag"]})
    return StoredContent(request, upload.key, upload.size, headers, _places(state.held, upload))


async def _upload(state: State, token: str) -> tuple[Upload, int]:
    """The upload that the token opens, and for how many seconds it still does. Raises NotFound, LimitReached,
    StoreUnavailable."""
    resources = state.resources
    unknown = _unknown()
    ref = read_media_token(resources.keyring, token)
    left = int(ref.expires_at - resources.environment.clock()) if ref else 0
    if ref is None or left <= 0:
        raise unknown
    if wait := state.fetches.wait(ref.upload_id):
        raise LimitReached("this file is asked for too often", wait, limit="media_fetches")
    upload = (await resources.uploads.read([ref.upload_id])).get(ref.upload_id)
    # a job that holds it may still need it, although no new job may use it
    if upload is None or not (upload.pins or upload.usable(resources.environment.now_ms())):
        raise unknown
    return upload, left


async def _check_file(state: State, upload: Upload) -> None:
    """Raises NotFound if the file is lost, so that the answer is neither broken nor an address that leads
    nowhere; MediaStoreUnavailable."""
    lost = NotFound("whole file", upload.key)
    try:
        found = await state.resources.media.size(upload.key)
    except MediaStoreUnavailable as error:
        state.content_outage.failed(str(error))
        raise
    except NotFound as error:
        found, lost = -1, error
    state.content_outage.recovered()
    if found == upload.size:
        return
    # the address is a credential: the log has the upload alone
    structlog.get_logger().error("media_lost", upload=upload.id, tenant=upload.tenant, reason=str(lost))
    raise _unknown()


def _unknown() -> NotFound:
    return NotFound("file", "of this address; it may have expired")


@contextlib.contextmanager
def _places(held: Held, upload: Upload) -> Iterator[None]:
    """Holds the places of one download within the block. Raises LimitReached: an address that became public
    must not take the gateway down."""
    too_many = LimitReached(
        "too many clients are fetching this file; ask again in a moment",
        _RETRY_SECONDS,
        limit="media_fetches",
    )
    of_upload, of_tenant = f"media {upload.id}", f"media of {upload.tenant}"
    with held.one(of_upload, AT_ONCE, too_many), held.one(of_tenant, OF_TENANT, too_many):
        yield
