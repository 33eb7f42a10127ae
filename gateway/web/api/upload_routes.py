"""Operations on uploads, one entry each."""

from __future__ import annotations

from typing import Final

from gateway.generation.file_types import MIME_OF_EXTENSION
from gateway.tenants import Scope
from gateway.web.api import jobs, media, uploads
from gateway.web.api.upload_files import FIELD
from gateway.web.http.answers import BYTES
from gateway.web.operation import LOCATION, PUBLIC, Document, Operation, Reply
from gateway.web.schemas import uploads as schemas

_READ: Final = (Scope.JOBS_READ,)
_WRITE: Final = (Scope.JOBS_WRITE,)
_BINARY: Final[Document] = {"type": "string", "format": "binary"}
_FORM: Final[Document] = {
    "type": "object",
    "properties": {FIELD: _BINARY},
    "required": [FIELD],
    "additionalProperties": False,
}
_TYPES: Final = tuple(MIME_OF_EXTENSION.values())
_OF_FILE: Final[dict[str, Document]] = {
    "ETag": {"description": "The SHA-256 of the file.", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "Parts can be asked for.", "schema": {"type": "string"}},
    "Content-Disposition": {"description": "The name of the file.", "schema": {"type": "string"}},
}
_OF_PART: Final[dict[str, Document]] = {
    **_OF_FILE,
    "Content-Range": {"description": "Which bytes these are.", "schema": {"type": "string"}},
}

UPLOADS: Final = (
    Operation(
        "POST", "/v1/uploads", "createUpload", "Upload a file for jobs", uploads.create,
        {
            200: Reply(
                "Your tenant had uploaded the same file. Its life starts anew.", schemas.Upload, LOCATION
            ),
            201: Reply("Stored and checked.", schemas.Upload, LOCATION),
        },
        _WRITE, tag="uploads",
        description="The body is the file itself, or a form with the file in the field `file`. A picture "
        "(png, jpeg, webp) may have 50 MB, a clip (mp4, mov, avi) 100 MB and 8 s; both at least 128x128 "
        "pixels and a ratio from 1:4 to 4:1. Everything is checked before the answer. Send the `id` in "
        "`images` or `videos` of jobs. The same file may be uploaded again at any time.",
        content={**dict.fromkeys((*_TYPES, BYTES), _BINARY), "multipart/form-data": _FORM},
        problems=(408, 413, 415, 422), metered="uploads",
    ),
    Operation(
        "GET", "/v1/uploads", "listUploads", "List uploads, newest first", uploads.page,
        {200: Reply("A page of uploads.", schemas.UploadList)},
        _READ, tag="uploads", query=(uploads.AFTER, jobs.LIMIT),
    ),
    Operation(
        "GET", "/v1/uploads/{upload_id}", "getUpload", "Get an upload", uploads.show,
        {200: Reply("The upload.", schemas.Upload)},
        _READ, tag="uploads",
    ),
    Operation(
        "DELETE", "/v1/uploads/{upload_id}", "deleteUpload", "Delete an upload", uploads.delete,
        {204: Reply("No new job can use it. Jobs that hold it keep the file until they are finished.")},
        _WRITE, tag="uploads",
    ),
    Operation(
        "GET", "/media/{token}", "fetchUpload", "For the upstream: fetch an upload", media.fetch,
        {
            200: Reply("The file.", _BINARY, _OF_FILE, media_type="*/*"),
            206: Reply(
                "The part that was asked for.", _BINARY, _OF_PART, media_type="*/*"
            ),
            302: Reply("The file is at this address.", None, LOCATION),
            304: Reply("You have the file already."),
        },
        PUBLIC, tag="callbacks", problems=(404, 416, 429, 503),
        description="The address is signed and expires. Nobody but the service makes one.",
    ),
)  # fmt: skip
