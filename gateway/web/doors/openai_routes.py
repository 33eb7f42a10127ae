"""All operations of the OpenAI door, one entry each."""

from __future__ import annotations

from typing import Final

from gateway.doors.openai.sizes import NEAREST, SHAPES
from gateway.doors.openai.words import OPENAI
from gateway.tenants import Scope
from gateway.web.api import posting
from gateway.web.doors import openai
from gateway.web.operation import LOCATION, Document, Operation, Reply
from gateway.web.schemas import openai as schemas

_READ: Final = (Scope.JOBS_READ,)
_WRITE: Final = (Scope.JOBS_WRITE,)
_BINARY: Final[Document] = {"type": "string", "format": "binary"}
_TEXT: Final[Document] = {"type": "string"}
_REFERENCE: Final[Document] = {
    "type": "object",
    "properties": {"image_url": _TEXT, "video_url": _TEXT, "file_id": _TEXT},
    "minProperties": 1,
    "maxProperties": 1,
}
_COMMON: Final[dict[str, Document]] = {
    "model": {**_TEXT, "description": "One of `GET /v1/models`; the first of them if it is left out."},
    "prompt": {**_TEXT, "minLength": 1, "maxLength": 5000},
    "size": {"type": "string", "enum": [*SHAPES, *NEAREST]},
    "user": {**_TEXT, "description": "Kept in our log."},
    **{
        name: {**_TEXT, "description": "As in `POST /v1/jobs`."}
        for name in ("wm_url", "payload", "callback_url", "aspect_ratio", "resolution", "meta_data")
    },
}
_FLAGS: Final = ("bgm", "watermark", "off_peak")
_NUMBERS: Final = ("seed", "wm_position", "n")
_JSON: Final[Document] = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        **_COMMON,
        **{name: {"type": "boolean"} for name in _FLAGS},
        **{name: {"type": "integer"} for name in _NUMBERS},
        "seconds": {"type": ["string", "integer"], "description": "0 to 10 as a text or a number."},
        "input_reference": {
            "anyOf": [_TEXT, _REFERENCE],
            "description": "The first picture: a URL, a data URI, or the id of an upload.",
        },
        **{
            name: {"type": "array", "items": {"anyOf": [_TEXT, _REFERENCE]}}
            for name in ("images", "videos", "reference_images", "reference_videos")
        },
    },
}
_FORM: Final[Document] = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        **_COMMON,
        **dict.fromkeys((*_FLAGS, *_NUMBERS, "seconds"), _TEXT),
        "input_reference": {**_BINARY, "description": "The first picture, or a clip."},
        "images": {"type": "array", "items": _BINARY},
        "videos": {"type": "array", "items": _BINARY},
    },
}
_POLL: Final[dict[str, Document]] = {
    openai.POLL_AFTER: {"description": "Milliseconds until the next poll.", "schema": {"type": "string"}}
}
_FILE_HEADERS: Final[dict[str, Document]] = {
    "ETag": {"description": "SHA-256 of the whole file, in quotes.", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "`bytes`.", "schema": {"type": "string"}},
}
_UNSUPPORTED: Final = (
    ("POST", "/v1/videos/edits", "editVideo", "Edit a video"),
    ("POST", "/v1/videos/extensions", "extendVideo", "Extend a video"),
    ("POST", "/v1/videos/characters", "createVideoCharacter", "Create a character"),
    ("GET", "/v1/videos/characters/{character_id}", "getVideoCharacter", "Get a character"),
    ("POST", "/v1/videos/{job_id}/remix", "remixVideo", "Remix a video"),
)

OPERATIONS: Final = (
    Operation(
        "POST", "/v1/videos", "createVideo", "Create a video", openai.create,
        {200: Reply("Accepted. The video will not be lost.", schemas.Video, {**LOCATION, **_POLL})},
        _WRITE, tag="openai",
        description="A form or JSON. This model needs at least one picture. Files inside the request may "
        "have about 14.9 MB together; upload larger ones with `POST /v1/uploads`, and send "
        '`{"file_id": "upl_..."}`. If the answer is lost, send the same request again with '
        "`x-stainless-retry-count: 1`, as OpenAI's libraries do, or use an `Idempotency-Key`: both find the "
        "job. `1792x1024` and `1024x1792` become the 1080p sizes, with a warning.",
        headers=(posting.IDEMPOTENCY_KEY, *posting.OPTIONS),
        content={"multipart/form-data": _FORM, "application/json": _JSON},
        problems=(402, 404, 413, 415, 422), counted=False, door=OPENAI,
    ),
    Operation(
        "GET", "/v1/videos", "listVideos", "List videos", openai.page,
        {200: Reply("A page of videos.", schemas.VideoList)},
        _READ, tag="openai", query=(openai.AFTER, openai.LIMIT, openai.ORDER), door=OPENAI,
    ),
    *(
        Operation(
            method, path, name, summary, openai.unsupported, {}, _READ, tag="openai",
            description="Always a 400 with the code `unsupported_operation`.", door=OPENAI,
        )
        for method, path, name, summary in _UNSUPPORTED
    ),
    Operation(
        "GET", "/v1/videos/{job_id}", "getVideo", "Get a video", openai.show,
        {200: Reply("The job as a video.", schemas.Video, _POLL)},
        _READ, tag="openai", door=OPENAI,
    ),
    Operation(
        "DELETE", "/v1/videos/{job_id}", "deleteVideo", "Delete a video", openai.delete,
        {200: Reply("Deleted. This cannot be undone.", schemas.VideoDeleted)},
        _WRITE, tag="openai",
        description="Deletes our copies of its files, and shows it no more. The job stays in `/v1/jobs` "
        "until its retention has passed. 400 with `video_not_final` while it may still be made.",
        door=OPENAI,
    ),
    Operation(
        "GET", "/v1/videos/{job_id}/content", "getVideoContent", "Fetch the file", openai.content,
        {
            200: Reply("The file.", _BINARY, _FILE_HEADERS, media_type="*/*"),
            206: Reply("The part that `Range` asked for.", _BINARY, _FILE_HEADERS, media_type="*/*"),
            302: Reply(
                "The file is at another address.", None,
                {"Location": {"description": "The address.", "schema": {"type": "string"}}},
            ),
            304: Reply("You have this file already.", None, _FILE_HEADERS),
        },
        _READ, tag="openai",
        description="404 with `video_not_ready` until it is completed, and with `variant_unavailable` for a "
        "file that was not made.",
        query=(openai.VARIANT,), problems=(410, 416), door=OPENAI,
    ),
    Operation(
        "GET", "/v1/models", "listModels", "List the models", openai.list_models,
        {200: Reply("All names that `model` may have.", schemas.ModelList)},
        _READ, tag="openai", door=OPENAI,
    ),
    Operation(
        "GET", "/v1/models/{model}", "getModel", "Get a model", openai.show_model,
        {200: Reply("The model.", schemas.Model)},
        _READ, tag="openai", door=OPENAI,
    ),
)  # fmt: skip
