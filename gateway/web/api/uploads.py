"""Operations on uploads: hand over a file, list, get and delete."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import LimitReached, NotFound
from gateway.jobs import rfc3339
from gateway.media.links import UPLOAD_ID
from gateway.tenants import Key
from gateway.uploads import Upload, remove
from gateway.web.api.jobs import LIMIT
from gateway.web.api.upload_files import Received, received
from gateway.web.http.answers import json_answer
from gateway.web.http.params import Params, text
from gateway.web.schemas import uploads as schemas
from gateway.web.state import State, state_of

AFTER: Final = text("after", "Only uploads older than this one.", schemas.UPLOAD_ID, "the id of an upload")
_FORM: Final = re.compile(rf"{UPLOAD_ID.pattern}\Z")


async def create(request: Request, key: Key, _: Params) -> Response:
    """201 and the upload; 200 if the tenant had uploaded the same content before."""
    state = state_of(request)
    state.memory.check()
    state.disk.check(inline=True)
    resources = state.resources
    upload_id = resources.environment.new_upload_id()
    async with received(request, key.tenant, resources.media.scratch / upload_id) as file:
        upload, created = await _keep(state, key.tenant, upload_id, file)
    headers = {"location": f"/v1/uploads/{upload.id}"}
    return json_answer(view(state, upload), 201 if created else 200, headers)


async def _keep(state: State, tenant: str, upload_id: str, file: Received) -> tuple[Upload, bool]:
    """Stores the file, then its record: a record without a file would be a lie, and a file without a record
    is swept. Raises LimitReached, Unavailable."""
    resources, reach = state.resources, state.resources.environment.reach
    upload = Upload(
        id=upload_id,
        tenant=tenant,
        sha256=file.sha256,
        size=file.size,
        extension=file.extension,
        created_at=resources.environment.now_ms(),
        width=file.width,
        height=file.height,
        seconds=file.seconds,
    )
    # asked before the file is stored: a repeat is free, and a tenant above its limits writes nothing
    known = await resources.uploads.known(tenant, file.sha256, file.size)
    if known is not None:
        await _mend(state, known, file)
        return known, False
    await reach("upload_put.before")
    await resources.media.put_file(upload.key, file.path)
    await reach("upload_put.after")
    try:
        stored, created = await resources.uploads.add(upload)
    except LimitReached:  # certainly not stored, unlike after StoreUnavailable
        await resources.media.drop(upload.key)
        raise
    if not created:  # the same content came in at the same time
        await resources.media.drop(upload.key)
    return stored, created


async def _mend(state: State, known: Upload, file: Received) -> None:
    """Stores the file of an earlier upload again if it was lost."""
    media = state.resources.media
    try:
        if await media.size(known.key) == known.size:
            return
    except NotFound:
        pass
    await media.put_file(known.key, file.path)


async def page(request: Request, key: Key, params: Params) -> Response:
    """The tenant's uploads, newest first."""
    limit, state = params[LIMIT], state_of(request)
    found, more = await state.resources.uploads.page(key.tenant, params[AFTER], limit)
    following = f"/v1/uploads?after={found[-1].id}&limit={limit}" if more and found else None
    listed: schemas.UploadList = {
        "object": "list",
        "data": [view(state, upload) for upload in found],
        "has_more": more,
        "next": following,
    }
    return json_answer(listed)


async def show(request: Request, key: Key, _: Params) -> Response:
    state, upload_id = state_of(request), _id_in(request)
    upload = (await state.resources.uploads.read([upload_id])).get(upload_id)
    now = state.resources.environment.now_ms()
    if upload is None or upload.tenant != key.tenant or not upload.usable(now):
        raise NotFound("upload", upload_id)
    return json_answer(view(state, upload))


async def delete(request: Request, key: Key, _: Params) -> Response:
    """204. New jobs cannot use it from now on; jobs that hold it keep its file until they are finished."""
    resources, upload_id = state_of(request).resources, _id_in(request)
    retired = await resources.uploads.delete(upload_id, key.tenant)
    if retired is None:
        raise NotFound("upload", upload_id)
    await remove(resources.uploads, resources.media, upload_id, retired)
    return Response(status_code=204)


def _id_in(request: Request) -> str:
    upload_id: str = request.path_params["upload_id"]
    if not _FORM.match(upload_id):
        raise NotFound("upload", "of this form; ids look like upl_ and 26 letters and digits")
    return upload_id


def view(state: State, upload: Upload) -> schemas.Upload:
    """The upload as its owner sees it."""
    resources = state.resources
    expires_at = None if upload.pins else upload.expires_at
    life_ms = int(resources.settings.upload_life_seconds * 1000)
    until = expires_at or resources.environment.now_ms() + life_ms
    base = next(iter(resources.media_links.bases), None)
    return {
        "id": upload.id,
        "object": "upload",
        "bytes": upload.size,
        "sha256": upload.sha256,
        "media_type": upload.media_type,
        "width": upload.width,
        "height": upload.height,
        "seconds": upload.seconds,
        "url": resources.media_links.address(base, upload.id, -(-until // 1000)) if base else None,
        "created_at": rfc3339(upload.created_at),
        "expires_at": rfc3339(expires_at),
    }
